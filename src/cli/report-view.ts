/** A report for people: the five metrics as a block, the rounds, the timeline. What was not observed says so. */
import type { Report } from "../api/report.ts";
import { formatBytes, formatDuration, formatRate } from "../std/units.ts";
import { plain, renderTable } from "./output.ts";
import { pageWords } from "./wire-view.ts";

const LABEL_COLUMNS = 15;
const MISSING = "not observed";

const duration = (ms: number | null): string => (ms === null ? MISSING : formatDuration(ms));
const bytes = (value: number | null): string => (value === null ? MISSING : formatBytes(value));
const row = (label: string, ...parts: readonly string[]): string =>
  `${label.padEnd(LABEL_COLUMNS)} ${parts.join(" · ")}`;

/** Downtime, disruption, total time, migrated data, degradation; and whether the result was checked. */
export function metricLines(report: Report): readonly string[] {
  const { metrics, correctness } = report;
  const { downtime_ms: downtime, disruption_ms: disruption } = metrics;
  return [
    row(
      "Downtime",
      `VM ${duration(downtime.vm)}`,
      `client ${duration(downtime.client)}`,
      `guest ${duration(downtime.guest)}`,
      `QEMU ${duration(downtime.qemu)}`,
    ),
    row("Disruption", `span ${duration(disruption.span)}`, `sum ${duration(disruption.sum)}`),
    row(
      "Total time",
      duration(metrics.total_time_ms),
      `source empty after ${duration(metrics.eviction_time_ms)}`,
    ),
    row(
      "Migrated data",
      `wire out ${bytes(metrics.bytes.wire_out)}`,
      `wire in ${bytes(metrics.bytes.wire_in)}`,
      `QEMU ${bytes(metrics.bytes.qemu)}`,
    ),
    row(
      "Degradation",
      metrics.degradation_ratio === null ? MISSING : `ratio ${metrics.degradation_ratio.toFixed(3)}`,
    ),
    ...(metrics.postcopy === null
      ? []
      : [
          row(
            "Post-copy",
            `vCPUs blocked ${duration(metrics.postcopy.blocktime_ms)}`,
            `page requests ${metrics.postcopy.page_requests ?? MISSING}`,
          ),
        ]),
    row("Correctness", correctness.verdict, ...lostWrites(report)),
  ];
}

/** The way, why it was taken, and what the relays made of the pages in one line. */
function wayWords({ path, path_reason: reason, pages, metrics, cpu_seconds: cpu }: Report): string[] {
  const words = [path, ...(reason === undefined ? [] : [reason])];
  if (path === "direct") return words;
  const { wire_out: wire, qemu } = metrics.bytes;
  const ratio = wire === null || qemu === null || wire === 0 ? [] : [`${(qemu / wire).toFixed(1)}:1`];
  const relays =
    cpu.relay_source === null
      ? []
      : [`relays ${cpu.relay_source.toFixed(1)} + ${cpu.relay_target?.toFixed(1) ?? "?"} CPU s`];
  return [...words, ...ratio, pageWords(pages), ...relays];
}

const lostWrites = ({ correctness }: Report): string[] =>
  correctness.lost_acknowledged_writes === null
    ? []
    : [`acknowledged writes lost: ${correctness.lost_acknowledged_writes}`];

export async function reportText(report: Report): Promise<string> {
  const finished =
    report.finished_by === report.technique
      ? report.technique
      : `${report.technique}, finished by ${report.finished_by}`;
  const { environment } = report;
  const sections = [
    [
      row("Migration", `${report.id}: ${report.vm}, ${report.source} → ${report.target}`),
      row("Outcome", [report.outcome, report.reason].filter((text) => text !== "").join(": ")),
      row("Technique", finished),
      row("Way", ...wayWords(report)),
      row("Started", report.started_at),
      row(
        "Hosts",
        `QEMU ${environment.qemu_source} → ${environment.qemu_target}`,
        environment.accelerator,
        `${formatBytes(environment.ram_bytes)} RAM`,
        `${environment.vcpus} vCPU`,
      ),
      row("Link", linkWords(environment.link)),
    ]
      .map(plain)
      .join("\n"),
    metricLines(report).map(plain).join("\n"),
  ];
  if (report.rounds.length > 0) sections.push(await roundsTable(report));
  if (report.timeline.length > 0) sections.push(await timelineTable(report));
  const checks = report.correctness.checks.map(
    (one) => `${one.ok ? "ok " : "BAD"} ${one.what}: ${one.detail}`,
  );
  if (checks.length > 0) sections.push(["Checks", ...checks].map(plain).join("\n"));
  if (report.notes.length > 0)
    sections.push(["Notes", ...report.notes.map((note) => `- ${note}`)].map(plain).join("\n"));
  return sections.join("\n\n");
}

function linkWords(link: Report["environment"]["link"]): string {
  const rate = link.rate_bytes_per_second === null ? "rate unknown" : formatRate(link.rate_bytes_per_second);
  const delay = link.delay_ms === null ? "delay unknown" : `${formatDuration(link.delay_ms)} delay`;
  const note = link.note === "" ? "" : ` (${link.note})`;
  return `${link.shaped ? "shaped" : "not shaped"}, ${rate}, ${delay}${note}`;
}

const roundsTable = (report: Report): Promise<string> =>
  renderTable(
    ["ROUND", "START", "TIME", "SENT", "DIRTY AFTER", "SENDING", "DIRTIED", "SLOWED"],
    report.rounds.map((one) => [
      String(one.round),
      formatDuration(one.startMs),
      formatDuration(one.durationMs),
      formatBytes(one.sentBytes),
      formatBytes(one.dirtyBytes),
      formatRate(one.sendBytesPerSecond),
      formatRate(one.dirtyBytesPerSecond),
      `${one.throttlePercent} %`,
    ]),
    ["ROUND", "START", "TIME", "SENT", "DIRTY AFTER", "SENDING", "DIRTIED", "SLOWED"],
  );

const timelineTable = (report: Report): Promise<string> =>
  renderTable(
    ["AT", "HOST", "WHAT"],
    report.timeline.map((one) => [`${one.atMs.toFixed(1)} ms`, one.host, one.what]),
    ["AT"],
  );
