/** The report of a migration, made at its end from what the source's agent journaled and what the target tells. */
import { memoryBytes } from "../api/machine.ts";
import type { TechniqueName } from "../api/migration.ts";
import type { Correctness, Report } from "../api/report.ts";
import type { TargetView } from "../api/peer-routes.ts";
import { assembleReport, type TimelineEvent } from "../migration/report.ts";
import type { Evidence } from "./evidence.ts";
import { planOf } from "./qemu-migration.ts";
import type { MigrationRecord, TimelineNote } from "./store.ts";
import { sourceEnding } from "./views.ts";

type SourceRecord = Extract<MigrationRecord, { side: "source" }>;

/** The first entry of that kind, as CLOCK_MONOTONIC nanoseconds. */
const first = (events: readonly TimelineNote[], what: string): string | undefined =>
  events.find((event) => event.what === what)?.atNs;

const difference = (end: number | undefined, start: number | undefined): number | null =>
  end === undefined || start === undefined ? null : end - start;

export function writeReport(record: SourceRecord, host: string, target: TargetView | undefined): Report {
  const ending = sourceEnding(record) ?? {
    outcome: "failed" as const,
    code: "INTERNAL",
    reason: "it has no ending",
  };
  const { origin, evidence } = record;
  const settled = first(record.timeline, "QEMU completed");
  const released = first(record.timeline, "source released");
  const stopped = lastBefore(record.timeline, "guest paused");
  const { qemuInfo: info } = evidence;
  const resumed = target === undefined ? undefined : first(target.events, "guest running");
  const events: TimelineEvent[] = [
    ...record.timeline.map((note) => ({ ...note, bootId: record.bootId, host })),
    ...(target?.events ?? []).map((note) => ({ ...note, bootId: target?.bootId ?? "", host: record.peer })),
  ];
  return assembleReport({
    id: record.id,
    vm: record.vm,
    source: host,
    target: record.peer,
    settings: record.settings,
    finishedBy: finishedBy(record),
    outcome: ending.outcome,
    reason: ending.reason,
    code: ending.code,
    startedAt: record.startedAt,
    environment: {
      qemu_source: origin.qemuVersion,
      qemu_target: origin.targetQemuVersion,
      accelerator: origin.accelerator,
      ram_bytes: memoryBytes(origin.machine),
      vcpus: origin.machine.spec.vcpus,
      link: {
        shaped: false,
        rate_bytes_per_second: null,
        delay_ms: null,
        note: "the agent does not know the link's rate",
      },
    },
    sourceTimes: {
      bootId: record.bootId,
      acceptedNs: record.t0Ns,
      ...(stopped === undefined || ending.outcome !== "done" ? {} : { stoppedNs: stopped }),
      ...(settled === undefined || ending.outcome !== "done" ? {} : { settledNs: settled }),
      ...(released === undefined ? {} : { releasedNs: released }),
    },
    targetTimes:
      target === undefined
        ? null
        : { bootId: target.bootId, ...(resumed === undefined ? {} : { resumedNs: resumed }) },
    timeline: events,
    rounds: evidence.rounds.map((round) => ({
      ...round,
      startMs: round.startMs - Number(BigInt(record.t0Ns) / 1000n) / 1000,
    })),
    qemu:
      info?.ram === undefined
        ? null
        : {
            ...(info.downtime === undefined ? {} : { downtimeMs: info.downtime }),
            transferredBytes: info.ram.transferred,
            zeroPages: info.ram.duplicate,
            normalPages: info.ram.normal,
            pageRequests: info.ram["postcopy-requests"],
            ...(typeof target?.postcopyBlocktimeMs === "number"
              ? { blocktimeMs: target.postcopyBlocktimeMs }
              : {}),
          },
    counters:
      evidence.countersAtStart === undefined || evidence.countersAtEnd === undefined
        ? null
        : { start: evidence.countersAtStart, end: evidence.countersAtEnd },
    cpuSeconds: {
      source: difference(evidence.qemuCpuAtEnd, evidence.qemuCpuAtStart),
      target: target?.qemuCpuSeconds ?? null,
    },
    way: {
      path: planOf(record).path,
      reason: record.wire?.reason ?? "",
      wire: evidence.wire ?? null,
      targetRelayCpuSeconds: target?.relay?.cpuSeconds ?? null,
    },
    checks: memoryChecks(evidence),
    notes:
      origin.accelerator === "tcg" ? ["The guest ran under TCG (emulation): these are not KVM figures."] : [],
  });
}

/** stop-and-copy pauses once; a technique that was cancelled after a pause and tried again never shares a record. */
function lastBefore(timeline: readonly TimelineNote[], what: string): string | undefined {
  return timeline.findLast((event) => event.what === what)?.atNs;
}

function finishedBy(record: SourceRecord): TechniqueName {
  const fetched = record.timeline.some((event) => event.what === "QEMU postcopy-active");
  const { technique } = record.settings;
  if (fetched) return technique === "pre-copy" ? "hybrid" : technique;
  // A copy can be complete before the switch takes effect.
  return technique === "hybrid" || technique === "post-copy" ? "pre-copy" : technique;
}

function memoryChecks({ memoryDigests }: Evidence): Correctness["checks"] {
  if (memoryDigests === undefined) return [];
  const { source, target } = memoryDigests;
  const ok = source === target;
  return [
    {
      what: "guest memory, source against target, while stopped",
      ok,
      detail: ok ? `SHA-256 ${source}` : `${source} is not ${target}`,
    },
  ];
}
