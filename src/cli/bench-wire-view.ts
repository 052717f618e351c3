/** A campaign over the wire for people: one line per run while it goes on, one table per link and contents at its end. */
import {
  COMPARED,
  type Compared,
  type WireCell,
  type WireDocument,
  type WireRun,
} from "../bench/wire/document.ts";
import { formatBytes, formatRate } from "../std/units.ts";
import { ms, spread } from "./bench-view.ts";
import { plain, renderTable } from "./output.ts";

const unknown = (value: number | null, show: (value: number) => string): string =>
  value === null ? "–" : show(value);

export function wireRunLine({ arm, repetition, proof, report, beside, problem }: WireRun): string {
  const what = `  ${arm}, ${proof ? "proof" : `run ${repetition + 1}`}: `;
  if (report === null) return plain(`${what}refused. ${problem}`);
  const { metrics, outcome, path, reason } = report;
  if (outcome !== "done") return plain(`${what}${outcome}. ${reason}`);
  const { wire_out: out, wire_in: into } = metrics.bytes;
  const proved = (beside?.proved.length ?? 0) > 0 ? "proved" : "not proved";
  return plain(
    `${what}${path}, wire ${unknown(out, (bytes) => formatBytes(bytes + (into ?? 0)))}, ` +
      `total ${unknown(metrics.total_time_ms, ms)} ms, downtime ${unknown(metrics.downtime_ms.vm, ms)} ms; ` +
      `${report.correctness.verdict === "failed" ? "BROKEN" : proved}.`,
  );
}

const HEAD = [
  "arm",
  "done",
  "verified",
  "wire",
  "× best",
  "after round 1",
  "total ms",
  "× best",
  "host ms",
  "stall ms",
  "cpu s",
] as const;

const times = (ratio: number | null): string => unknown(ratio, (value) => value.toFixed(2));

const rowOf = (cell: WireCell): readonly string[] => [
  cell.stock || cell.arm === "direct" ? cell.arm : `${cell.arm}${pathOf(cell)}`,
  `${cell.runs - cell.failed} of ${cell.runs}`,
  String(cell.verified_runs),
  spread(cell.wire_bytes, formatBytes),
  times(cell.ratio_to_best_stock.wire_bytes),
  spread(cell.bytes_after_first_round, formatBytes),
  spread(cell.total_time_ms),
  times(cell.ratio_to_best_stock.total_time_ms),
  spread(cell.downtime_ms),
  spread(cell.stall_ms),
  spread(cell.cpu_seconds, (seconds) => seconds.toFixed(1)),
];

const pathOf = (cell: WireCell): string => {
  const paths = Object.keys(cell.paths);
  return paths.length === 0 || (paths.length === 1 && paths[0] === cell.arm) ? "" : ` (${paths.join(", ")})`;
};

const FIGURES: Readonly<Record<Compared, string>> = {
  wire_bytes: "wire bytes",
  total_time_ms: "total time",
  downtime_ms: "host downtime",
  bytes_after_first_round: "bytes after the first round",
};

export async function wireTable(document: WireDocument): Promise<string> {
  const { environment, cells, summary } = document;
  const lines: string[] = [
    environment === null
      ? "No run has a report."
      : `${environment.accelerator.toUpperCase()} guest with ${formatBytes(environment.ram_bytes)}, QEMU ` +
        `${environment.qemu_source}; seeds ${document.seeds.join(", ")}. Median (least–most) of the runs that were done.`,
  ];
  for (const { contents, link } of summary.best_stock) {
    const own = cells.filter((cell) => cell.contents === contents && cell.link === link);
    const rate = document.links[link]?.rate_bytes_per_second ?? null;
    lines.push(
      "",
      plain(
        `${contents}, ${link} (${rate === null ? "not shaped" : formatRate(rate)}): ${document.contents[contents]?.[link] ?? ""}`,
      ),
      await renderTable(HEAD, own.map(rowOf), HEAD.slice(1)),
      ...own.flatMap((cell) => cell.problems.map((problem) => plain(`  ${cell.arm}: ${problem}`))),
    );
  }
  for (const arm of summary.arms) {
    if (arm.shaped_cells === 0) continue;
    const means = (of: Readonly<Record<Compared, number | null>>): string =>
      COMPARED.map((figure) => `${FIGURES[figure]} ${times(of[figure])}`).join(", ");
    lines.push(
      "",
      `${arm.arm} against the best stock arm, geometric means over ${arm.shaped_cells} shaped cell(s): ${means(arm.geometric_mean)}.`,
      `  Against qemu-default alone: ${means(arm.geometric_mean_to_plain)}.`,
      ...arm.goals.flatMap((goal) => [
        `  ${goal.met === null ? "not measured" : goal.met ? "met" : "MISSED"}: ${goal.goal}, at most ${goal.limit}: ${times(goal.value)}`,
        ...goal.misses.map((miss) => plain(`    ${miss}`)),
      ]),
    );
  }
  return lines.join("\n");
}
