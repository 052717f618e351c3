/**
 * From runs to the result document. Pure. Every run counts, also one that failed; figures are medians with their
 * spread over the runs that ended with the guest at the target.
 */
import { CodedError } from "../std/errors.ts";
import type { Report } from "../api/report.ts";
import type { BenchCell, BenchDocument, RunRecord } from "./document.ts";
import { because, pauseParts } from "./pause.ts";
import { type Spread, spreadOf } from "./spread.ts";

function count<K extends string>(keys: readonly K[]): Partial<Record<K, number>> {
  const counts: Partial<Record<K, number>> = {};
  for (const key of keys) counts[key] = (counts[key] ?? 0) + 1;
  return counts;
}

const minus = (a: number | null, b: number | null): number | null =>
  a === null || b === null ? null : a - b;

const wireBytes = ({ metrics }: Report): number | null =>
  metrics.bytes.wire_out === null ? null : metrics.bytes.wire_out + (metrics.bytes.wire_in ?? 0);

function partsOf(reports: readonly Report[]): Record<string, Spread> {
  const all = reports.map(pauseParts);
  const names = [...new Set(all.flatMap(Object.keys))];
  return Object.fromEntries(
    names.flatMap((name) => {
      const found = spreadOf(all.map((parts) => parts[name] ?? null));
      return found === null ? [] : [[name, found]];
    }),
  );
}

/** The sentence of the run in the middle; of a cell in which nothing moved, the last one's. */
function reasonOf(runs: readonly RunRecord[], done: readonly Report[]): string {
  const byDowntime = [...done].sort(
    (a, b) => (a.metrics.downtime_ms.vm ?? 0) - (b.metrics.downtime_ms.vm ?? 0),
  );
  const middle = byDowntime[Math.floor((byDowntime.length - 1) / 2)];
  if (middle !== undefined) return because(middle);
  const last = runs.at(-1);
  if (last === undefined) return "";
  return last.report === null ? last.problem : because(last.report);
}

export function cellOf(workload: string, arm: string, runs: readonly RunRecord[]): BenchCell {
  const reports = runs.flatMap((run) => run.report ?? []);
  const done = reports.filter((report) => report.outcome === "done");
  const over = (figure: (report: Report) => number | null): Spread | null => spreadOf(done.map(figure));
  return {
    workload,
    arm,
    runs: runs.length,
    failed: runs.length - done.length,
    verified: reports.filter((report) => report.correctness.verdict === "verified").length,
    outcomes: count(runs.map((run) => run.report?.outcome ?? "refused")),
    downtime_ms: over(({ metrics }) => metrics.downtime_ms.vm),
    client_downtime_ms: over(({ metrics }) => metrics.downtime_ms.client),
    guest_downtime_ms: over(({ metrics }) => metrics.downtime_ms.guest),
    client_minus_host_ms: over(({ metrics }) => minus(metrics.downtime_ms.client, metrics.downtime_ms.vm)),
    disruption_ms: over(({ metrics }) => metrics.disruption_ms.sum),
    degradation_ratio: over(({ metrics }) => metrics.degradation_ratio),
    total_time_ms: over(({ metrics }) => metrics.total_time_ms),
    wire_bytes: over(wireBytes),
    rounds: over(({ rounds }) => rounds.length),
    throttle_percent: over(({ rounds }) => Math.max(0, ...rounds.map((round) => round.throttlePercent))),
    pause_parts_ms: partsOf(done),
    finished_by: count(done.map((report) => report.finished_by)),
    because: reasonOf(runs, done),
  };
}

/** Cells in the order in which workloads and arms are named. @throws CodedError USAGE when no run has a report. */
export function documentOf(
  runs: readonly RunRecord[],
  workloadOrder: readonly string[],
  armOrder: readonly string[],
): BenchDocument {
  const first = runs.flatMap((run) => run.report ?? [])[0];
  const link = runs[0]?.link;
  if (first === undefined || link === undefined)
    throw new CodedError("USAGE", { problem: "No run of this campaign has a report." });
  const { link: _ofTheAgent, ...environment } = first.environment;
  const cells: BenchCell[] = [];
  for (const workload of workloadOrder) {
    for (const arm of armOrder) {
      const own = runs.filter((run) => run.workload === workload && run.arm === arm);
      if (own.length > 0) cells.push(cellOf(workload, arm, own));
    }
  }
  return {
    apiVersion: "godwit/v1",
    kind: "Bench",
    bench: "techniques",
    seeds: [...new Set(runs.map((run) => run.seed))],
    link,
    environment,
    workloads: Object.fromEntries(runs.map((run) => [run.workload, run.says])),
    arms: Object.fromEntries(runs.map((run) => [run.arm, run.shows])),
    cells,
  };
}
