/**
 * From runs to cells. Pure. Every run counts, also one that failed; figures are medians with least and most over the
 * runs that ended with an intact guest at the target. How cells compare is decided in compare.ts.
 */
import type { Report } from "../../api/report.ts";
import { spreadOf } from "../spread.ts";
import type { WireCell, WireRun } from "./document.ts";

type Uncompared = Omit<WireCell, "ratio_to_best_stock">;
interface Done {
  readonly run: WireRun;
  readonly report: Report;
}

/** A way that was asked for and not taken: such a run says nothing of its arm. */
const wentElsewhere = ({ settings: { wire }, path }: Report): boolean => wire !== "auto" && wire !== path;

/** A figure of a guest that arrived broken is not a result. */
const doneOf = (runs: readonly WireRun[]): readonly Done[] =>
  runs.flatMap((run) =>
    run.report?.outcome === "done" &&
    run.report.correctness.verdict !== "failed" &&
    !wentElsewhere(run.report)
      ? [{ run, report: run.report }]
      : [],
  );

const provedBy = ({ run, report }: Done): boolean =>
  (run.beside?.proved.length ?? 0) > 0 && report.correctness.verdict === "verified";

/** As the agent names its comparison of both hosts' memory. */
const MEMORY = /^guest memory\b/;
const memoryProved = (done: Done): boolean =>
  provedBy(done) && done.run.beside?.proved.some((what) => MEMORY.test(what)) === true;

/** The agent's reading of the interface; where it has none, the bench's own. */
function wireBytes({ run, report }: Done): number | null {
  const { wire_out: out, wire_in: into } = report.metrics.bytes;
  return out === null ? (run.beside?.wire_bytes ?? null) : out + (into ?? 0);
}

const sum = (parts: readonly (number | null | undefined)[]): number =>
  parts.reduce<number>((total, part) => total + (part ?? 0), 0);

function relayCpu({ report: { path, cpu_seconds: cpu } }: Done): number | null {
  if (path === "direct") return 0;
  return cpu.relay_source === null || cpu.relay_target === null ? null : cpu.relay_source + cpu.relay_target;
}

function cpuSeconds(done: Done): number | null {
  const { qemu_source: source, qemu_target: target } = done.report.cpu_seconds;
  const relays = relayCpu(done);
  if (source === null || target === null || relays === null) return null;
  return sum([source, target, relays, done.run.beside?.agent_cpu_seconds]);
}

/** Null when the kernel did not tell how long the vCPUs waited: a fetch without it would look better than it is. */
function stallMs({ report: { metrics } }: Done): number | null {
  const { vm } = metrics.downtime_ms;
  if (vm === null || metrics.postcopy === null) return vm;
  return metrics.postcopy.blocktime_ms === null ? null : vm + metrics.postcopy.blocktime_ms;
}

function problemOf(run: WireRun): string {
  if (run.report === null) return run.problem;
  if (run.report.outcome !== "done") return `${run.report.outcome}: ${run.report.reason}`;
  if (wentElsewhere(run.report))
    return `asked to go by ${run.report.settings.wire}, went by ${run.report.path}`;
  const bad = run.report.correctness.checks.filter(({ ok }) => !ok);
  return bad.map(({ what, detail }) => `${what}: no. ${detail}`).join(" ");
}

export function cellOf(runs: readonly WireRun[]): Uncompared | null {
  const [first] = runs;
  if (first === undefined) return null;
  const measured = runs.filter(({ proof }) => !proof);
  const proofs = runs.filter(({ proof }) => proof);
  const done = doneOf(measured);
  const verified = done.filter(provedBy).length;
  const intact = new Set(doneOf(runs).map(({ run }) => run));
  const over = (figure: (one: Done) => number | null) => spreadOf(done.map(figure));
  return {
    contents: first.contents,
    link: first.link,
    arm: first.arm,
    stock: first.stock,
    runs: measured.length,
    failed: measured.length - done.length,
    wire_bytes: over(wireBytes),
    total_time_ms: over(({ report }) => report.metrics.total_time_ms),
    downtime_ms: over(({ report }) => report.metrics.downtime_ms.vm),
    cpu_seconds: over(cpuSeconds),
    verified: done.length > 0 && verified === done.length,
    verified_runs: verified,
    memory_proofs: { runs: proofs.length, good: doneOf(proofs).filter(memoryProved).length },
    bytes_after_first_round: over(({ run }) => run.beside?.bytes_after_first_round ?? null),
    stall_ms: over(stallMs),
    client_downtime_ms: over(({ report }) => report.metrics.downtime_ms.client),
    relay_cpu_seconds: over(relayCpu),
    paths: pathsOf(done),
    problems: [...new Set(runs.filter((run) => !intact.has(run)).map(problemOf))],
  };
}

function pathsOf(done: readonly Done[]): WireCell["paths"] {
  const paths: WireCell["paths"] = {};
  for (const { report } of done) paths[report.path] = (paths[report.path] ?? 0) + 1;
  return paths;
}

/** One per contents, link and arm that was run, in the order in which they first were named. */
export function cellsOf(
  runs: readonly WireRun[],
  order: {
    readonly contents: readonly string[];
    readonly links: readonly string[];
    readonly arms: readonly string[];
  },
): readonly Uncompared[] {
  return order.links.flatMap((link) =>
    order.contents.flatMap((contents) =>
      order.arms.flatMap(
        (arm) =>
          cellOf(runs.filter((run) => run.link === link && run.contents === contents && run.arm === arm)) ??
          [],
      ),
    ),
  );
}
