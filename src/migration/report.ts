/**
 * Puts the report of one finished migration together. Pure: the agent brings what was observed, this decides which
 * metric that makes. What was not observed is null, never zero; what is odd becomes a note.
 *
 * Clocks: every time is CLOCK_MONOTONIC in nanoseconds, with the boot id of the machine that read it. Two readings
 * are subtracted only when their boot ids are equal.
 */
import { notesOnBytes, wireBytes } from "./report-bytes.ts";
import type { InterfaceCounters, QemuStats } from "./report-bytes.ts";
import type { Round } from "./types.ts";
import type { MigrateSettings, Outcome, TechniqueName } from "../api/migration.ts";
import type { WireCounters, WirePlan } from "../api/wire.ts";
import type { Correctness, Report, TimelineEntry } from "../api/report.ts";

/** Nanoseconds; text where they went through JSON. */
export type Nanoseconds = bigint | string;

/** Letters as in docs/metrics.md. Absent: it did not happen, or nobody saw it. */
export interface SourceTimes {
  readonly bootId: string;
  /** t0: the migration was accepted. */
  readonly acceptedNs: Nanoseconds;
  /** t1: the guest's vCPUs stopped (STOP). */
  readonly stoppedNs?: Nanoseconds;
  /** t6: nothing of the VM is needed from the source any more. */
  readonly settledNs?: Nanoseconds;
  /** t7: the source's QEMU is gone. */
  readonly releasedNs?: Nanoseconds;
}

export interface TargetTimes {
  readonly bootId: string;
  /** t2: the guest's vCPUs run (RESUME). */
  readonly resumedNs?: Nanoseconds;
}

export interface TimelineEvent {
  readonly bootId: string;
  readonly atNs: Nanoseconds;
  readonly host: string;
  readonly what: string;
}

export interface ReportInput {
  readonly id: string;
  readonly vm: string;
  readonly source: string;
  readonly target: string;
  readonly settings: MigrateSettings;
  readonly finishedBy: TechniqueName;
  readonly outcome: Outcome;
  readonly reason: string;
  readonly code: string | null;
  /** Wall clock, for people; no metric is made of it. */
  readonly startedAt: string;
  readonly environment: Report["environment"];
  readonly sourceTimes: SourceTimes;
  /** Null when the target never answered with its times. */
  readonly targetTimes: TargetTimes | null;
  readonly timeline: readonly TimelineEvent[];
  readonly rounds: readonly Round[];
  readonly qemu: QemuStats | null;
  /** Counters of the source's interface to the target; null where the interface carries other traffic or is unknown. */
  readonly counters: { readonly start: InterfaceCounters; readonly end: InterfaceCounters } | null;
  /** Which way the bytes went, why, and what the relays counted. */
  readonly way: {
    readonly path: WirePlan["path"];
    readonly reason: string;
    readonly wire: WireCounters | null;
    readonly targetRelayCpuSeconds: number | null;
  };
  readonly cpuSeconds: { readonly source: number | null; readonly target: number | null };
  readonly checks: Correctness["checks"];
  readonly notes: readonly string[];
}

const NS_PER_MS = 1e6;
/** Handshakes, and what two agents say meanwhile: beside the little that a relay may send it would show. */
const BESIDES_BYTES = 64 * 2 ** 10;

const msBetween = (from: Nanoseconds, to: Nanoseconds): number =>
  Number(BigInt(to) - BigInt(from)) / NS_PER_MS;

const msSinceAccepted = (times: SourceTimes, at: Nanoseconds | undefined): number | null =>
  at === undefined ? null : msBetween(times.acceptedNs, at);

/** Target RESUME minus source STOP, where both were read from one clock. */
function vmDowntime(source: SourceTimes, target: TargetTimes | null): { ms: number | null; note?: string } {
  if (source.stoppedNs === undefined || target?.resumedNs === undefined) return { ms: null };
  if (source.bootId !== target.bootId) {
    return {
      ms: null,
      note: "downtime_ms.vm is unknown: source and target share no clock. downtime_ms.qemu is what QEMU saw at the source.",
    };
  }
  const ms = msBetween(source.stoppedNs, target.resumedNs);
  return ms < 0
    ? { ms: null, note: "downtime_ms.vm is unknown: the target's RESUME was read before the source's STOP." }
    : { ms };
}

/** Entries of another clock cannot be placed on the source's; they are counted, not guessed. */
function timeline({ sourceTimes, timeline: events }: ReportInput): {
  entries: TimelineEntry[];
  note?: string;
} {
  const placed = events.filter((event) => event.bootId === sourceTimes.bootId);
  const entries = placed
    .map(({ atNs, host, what }) => ({ atMs: msBetween(sourceTimes.acceptedNs, atNs), host, what }))
    .sort((a, b) => a.atMs - b.atMs);
  const missing = events.length - placed.length;
  return missing === 0
    ? { entries }
    : {
        entries,
        note: `${missing} timeline ${missing === 1 ? "entry" : "entries"} of the other host left out: no shared clock.`,
      };
}

/** Failed if any check is, verified if there is one at all. */
export function verdict(checks: Correctness["checks"]): Correctness["verdict"] {
  if (checks.some((check) => !check.ok)) return "failed";
  return checks.length > 0 ? "verified" : "not-checked";
}

/** By what became of them on the wire; QEMU itself only knows zero pages from others. */
function pagesOf({ way, qemu }: ReportInput): Report["pages"] {
  const unknown = {
    zero: null,
    raw: null,
    compressed: null,
    delta: null,
    duplicate: null,
    unchanged: null,
    referenced: null,
  };
  if (way.path === "relay") return way.wire === null ? unknown : { ...way.wire.pages };
  return { ...unknown, zero: qemu?.zeroPages ?? null, raw: qemu?.normalPages ?? null };
}

/** The interface is compared with what was handed to it last: by QEMU, or by the relay. */
function notesOnWay({ way, counters, qemu }: ReportInput): string[] {
  const { wire } = way;
  if (way.path === "direct") return notesOnBytes(counters, { by: "QEMU", bytes: qemu?.transferredBytes });
  if (wire === null) return ["pages and cpu_seconds.relay are unknown: the relay left no counters."];
  const passed =
    wire.passThrough === undefined
      ? []
      : [`From some point on the relays passed bytes as QEMU wrote them: ${wire.passThrough}.`];
  const { keptPages = 0, bootPages = 0 } = wire;
  const kept =
    keptPages === 0
      ? []
      : [`The target had ${keptPages} pages of earlier migrations from or to this host when this one began.`];
  const boot =
    bootPages === 0
      ? []
      : [`The target had ${bootPages} pages of the files this guest was started from when this one began.`];
  const sent = { by: "the relay", bytes: wire.wireBytes, besidesBytes: BESIDES_BYTES };
  return [...kept, ...boot, ...passed, ...notesOnBytes(counters, sent)];
}

export function assembleReport(input: ReportInput): Report {
  const { sourceTimes, targetTimes, qemu, counters, settings } = input;
  const downtime = vmDowntime(sourceTimes, targetTimes);
  const story = timeline(input);
  const wire = wireBytes(counters);
  const fetched = input.finishedBy === "post-copy" || input.finishedBy === "hybrid";
  const notes = [...input.notes, downtime.note, story.note, ...notesOnWay(input)];
  return {
    apiVersion: "godwit/v1",
    kind: "Report",
    id: input.id,
    vm: input.vm,
    source: input.source,
    target: input.target,
    technique: settings.technique,
    finished_by: input.finishedBy,
    path: input.way.path,
    ...(input.way.reason === "" ? {} : { path_reason: input.way.reason }),
    reason: input.reason,
    outcome: input.outcome,
    code: input.code,
    started_at: input.startedAt,
    settings,
    environment: input.environment,
    clock: { boot_id: sourceTimes.bootId, t0_ns: String(sourceTimes.acceptedNs) },
    timeline: story.entries,
    metrics: {
      downtime_ms: { vm: downtime.ms, client: null, guest: null, qemu: qemu?.downtimeMs ?? null },
      disruption_ms: { span: null, sum: null },
      total_time_ms: msSinceAccepted(sourceTimes, sourceTimes.settledNs),
      eviction_time_ms: msSinceAccepted(sourceTimes, sourceTimes.releasedNs),
      bytes: { ...wire, qemu: qemu?.transferredBytes ?? null, storage: null, side: null },
      degradation_ratio: null,
      postcopy: fetched
        ? { blocktime_ms: qemu?.blocktimeMs ?? null, page_requests: qemu?.pageRequests ?? null }
        : null,
    },
    rounds: input.rounds.map((round) => ({ ...round })),
    pages: pagesOf(input),
    cpu_seconds: {
      relay_source: input.way.wire?.relayCpuSeconds ?? null,
      relay_target: input.way.targetRelayCpuSeconds,
      qemu_source: input.cpuSeconds.source,
      qemu_target: input.cpuSeconds.target,
    },
    forecast: null,
    correctness: {
      verdict: verdict(input.checks),
      checks: [...input.checks],
      lost_acknowledged_writes: null,
    },
    notes: notes.filter((note) => note !== undefined),
  };
}
