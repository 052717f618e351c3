/**
 * One migration as spans: a root with a child for each phase, made from the journaled timeline when it has ended, so that
 * a trace survives a restart of the agent. Pure; trace-export.ts sends it.
 */
import { PHASES } from "../api/migration.ts";
import type { Report } from "../api/report.ts";
import type { MigrationRecord, TimelineNote } from "./store.ts";
import { idsIn, traceIdsOf, type TraceIds } from "./traceparent.ts";
import { sourceMigrationView, targetMigrationView } from "./views.ts";

export type Attributes = Readonly<Record<string, string | number | boolean>>;

export interface SpanEvent {
  readonly name: string;
  /** Unix time, as of every time here. */
  readonly atNs: bigint;
  readonly attributes: Attributes;
}

export interface Span {
  readonly name: string;
  readonly startNs: bigint;
  readonly endNs: bigint;
  readonly attributes: Attributes;
  readonly events: readonly SpanEvent[];
}

export interface Trace {
  readonly traceId: string;
  /** Of the root; undefined: any will do. */
  readonly spanId: string | undefined;
  /** The source's root span, for the target's. */
  readonly parent: TraceIds | undefined;
  readonly root: Span;
  readonly phases: readonly Span[];
  readonly status: { readonly code: "ok" | "unset" | "error"; readonly message: string };
}

const TARGET_PHASES = ["preparing", "receiving", "loaded", "accepted", "running", "done", "void", "lost"];
/** Nothing happens in them any more. */
const FINAL = new Set(["done", "aborted", "needs-person", "void", "lost"]);

/** @param wallOffsetNs what makes a monotonic reading of this record Unix time. */
export function traceOf(
  record: MigrationRecord,
  report: Report | undefined,
  host: string,
  wallOffsetNs: bigint,
): Trace {
  const wall = (ns: string): bigint => BigInt(ns) + wallOffsetNs;
  const { side, timeline } = record;
  const view =
    record.side === "source" ? sourceMigrationView(record, host, true) : targetMigrationView(record, host);
  const startNs = wall(record.t0Ns);
  const endNs = timeline.map(({ atNs }) => wall(atNs)).reduce((a, b) => (b > a ? b : a), startNs);
  const marks = [
    { name: "preparing", atNs: startNs },
    ...phaseMarks(record).map(({ name, atNs }) => ({ name, atNs: wall(atNs) })),
  ];
  const all = [
    ...timeline.map((note): SpanEvent => ({ name: note.what, atNs: wall(note.atNs), attributes: {} })),
    ...rounds(record, wallOffsetNs),
  ];
  const phases = marks.flatMap(({ name, atNs }, index): Span[] => {
    if (FINAL.has(name)) return [];
    const until = marks[index + 1]?.atNs ?? endNs;
    const events = all.filter(
      (event) => event.atNs >= atNs && event.atNs < until && !isPhase(side, event.name),
    );
    return [
      { name: `${side} ${name}`, startNs: atNs, endNs: until, attributes: { "godwit.phase": name }, events },
    ];
  });
  const ids = traceIdsOf(record.id);
  const parent = record.traceparent === undefined ? undefined : idsIn(record.traceparent);
  const outcome = view.outcome ?? "unknown";
  const root: Span = {
    name: side === "source" ? "migration" : "incoming migration",
    startNs,
    endNs,
    attributes: {
      "godwit.migration": record.id,
      "godwit.vm": record.vm,
      "godwit.source": view.source,
      "godwit.target": view.target,
      "godwit.technique": record.settings.technique,
      "godwit.outcome": outcome,
      ...(view.code === undefined ? {} : { "godwit.code": view.code }),
      ...(report === undefined ? {} : figures(report)),
    },
    events: [],
  };
  return {
    traceId: parent?.traceId ?? ids.traceId,
    spanId: side === "source" ? ids.spanId : undefined,
    parent,
    root,
    phases,
    // A cancel is what somebody wanted: neither a success nor an error.
    status:
      outcome === "done"
        ? { code: "ok", message: "" }
        : { code: outcome === "cancelled" ? "unset" : "error", message: view.reason ?? "" },
  };
}

const namesOf = (side: MigrationRecord["side"]): readonly string[] =>
  side === "source" ? PHASES : TARGET_PHASES;

const isPhase = (side: MigrationRecord["side"], what: string): boolean =>
  namesOf(side).some((name) => what === `${side} ${name}`);

/** The entries "source copying", "target loaded" and so on. */
const phaseMarks = ({
  side,
  timeline,
}: MigrationRecord): { readonly name: string; readonly atNs: string }[] =>
  timeline
    .filter((note: TimelineNote) => isPhase(side, note.what))
    .map(({ what, atNs }) => ({ name: what.slice(side.length + 1), atNs }));

const NS_PER_MS = 1e6;

function rounds(record: MigrationRecord, wallOffsetNs: bigint): SpanEvent[] {
  if (record.side === "target") return [];
  return record.evidence.rounds.map((round) => ({
    name: `round ${round.round}`,
    atNs: BigInt(Math.round((round.startMs + round.durationMs) * NS_PER_MS)) + wallOffsetNs,
    attributes: {
      "godwit.duration_seconds": round.durationMs / 1000,
      "godwit.sent_bytes": round.sentBytes,
      "godwit.dirty_bytes": round.dirtyBytes,
      "godwit.dirty_bytes_per_second": round.dirtyBytesPerSecond,
      "godwit.send_bytes_per_second": round.sendBytesPerSecond,
      "godwit.throttle_ratio": round.throttlePercent / 100,
    },
  }));
}

/** Only what was observed. */
function figures({ metrics, path, environment }: Report): Attributes {
  const { downtime_ms: downtime, bytes } = metrics;
  const seconds = (ms: number | null): number | null => (ms === null ? null : ms / 1000);
  const all = {
    "godwit.path": path,
    "godwit.accelerator": environment.accelerator,
    "godwit.ram_bytes": environment.ram_bytes,
    "godwit.downtime_vm_seconds": seconds(downtime.vm),
    "godwit.downtime_qemu_seconds": seconds(downtime.qemu),
    "godwit.total_time_seconds": seconds(metrics.total_time_ms),
    "godwit.eviction_time_seconds": seconds(metrics.eviction_time_ms),
    "godwit.wire_out_bytes": bytes.wire_out,
    "godwit.wire_in_bytes": bytes.wire_in,
    "godwit.qemu_bytes": bytes.qemu,
  };
  return Object.fromEntries(
    Object.entries(all).filter((entry): entry is [string, string | number] => entry[1] !== null),
  );
}
