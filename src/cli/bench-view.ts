/** A campaign for people: one line per run while it goes on, one table per workload at its end. */
import type { BenchCell, BenchDocument, RunRecord } from "../bench/document.ts";
import type { Spread } from "../bench/spread.ts";
import { formatBytes, formatRate } from "../std/units.ts";
import { plain, renderTable } from "./output.ts";

export const ms = (value: number): string =>
  Math.abs(value) < 10
    ? value.toFixed(1)
    : value < 10_000
      ? String(Math.round(value))
      : `${(value / 1000).toFixed(1)}s`;

export const spread = (figure: Spread | null, show: (value: number) => string = ms): string => {
  if (figure === null) return "–";
  const { median, min, max, n } = figure;
  return n === 1 ? show(median) : `${show(median)} (${show(min)}–${show(max)})`;
};

export function runLine({ workload, arm, repetition, report, problem }: RunRecord): string {
  const what = `  ${workload}, ${arm}, run ${repetition + 1}: `;
  if (report === null) return plain(`${what}refused. ${problem}`);
  const { metrics, outcome, correctness, reason } = report;
  if (outcome !== "done") return plain(`${what}${outcome}. ${reason}`);
  const { vm, client } = metrics.downtime_ms;
  return plain(
    `${what}downtime ${vm === null ? "–" : ms(vm)} ms, at the client ${client === null ? "–" : ms(client)} ms, ` +
      `total ${metrics.total_time_ms === null ? "–" : ms(metrics.total_time_ms)} ms; ${correctness.verdict}.`,
  );
}

const HEAD = [
  "arm",
  "runs",
  "done",
  "verified",
  "host ms",
  "client ms",
  "guest ms",
  "client − host",
  "disruption ms",
  "slower",
  "total ms",
  "wire",
  "rounds",
  "finished by",
] as const;

const rowOf = (cell: BenchCell): readonly string[] => [
  cell.arm,
  String(cell.runs),
  String(cell.runs - cell.failed),
  String(cell.verified),
  spread(cell.downtime_ms),
  spread(cell.client_downtime_ms),
  spread(cell.guest_downtime_ms),
  spread(cell.client_minus_host_ms),
  spread(cell.disruption_ms),
  cell.degradation_ratio === null ? "–" : `${(cell.degradation_ratio.median * 100).toFixed(1)} %`,
  spread(cell.total_time_ms),
  cell.wire_bytes === null ? "–" : formatBytes(cell.wire_bytes.median),
  spread(cell.rounds, (value) => String(Math.round(value))),
  Object.entries(cell.finished_by)
    .map(([technique, times]) => (times === cell.runs ? technique : `${technique} ×${times}`))
    .join(", ") ||
    Object.entries(cell.outcomes)
      .map(([outcome, times]) => `${outcome} ×${times}`)
      .join(", "),
];

export async function benchTable(document: BenchDocument): Promise<string> {
  const { link, environment, seeds } = document;
  const rate = link.rate_bytes_per_second === null ? "not shaped" : formatRate(link.rate_bytes_per_second);
  const lines = [
    `${environment.accelerator.toUpperCase()} guest with ${formatBytes(environment.ram_bytes)}, QEMU ${environment.qemu_source}; ` +
      `link ${rate}; seeds ${seeds.join(", ")}. Median (least–most) of the runs that were done.`,
  ];
  for (const [workload, says] of Object.entries(document.workloads)) {
    const cells = document.cells.filter((cell) => cell.workload === workload);
    if (cells.length === 0) continue;
    lines.push(
      "",
      `${workload}: a guest that ${says}`,
      await renderTable(HEAD, cells.map(rowOf), HEAD.slice(1, -1)),
    );
    lines.push("", ...cells.map((cell) => plain(`  ${cell.arm}: ${cell.because}`)));
  }
  return lines.join("\n");
}
