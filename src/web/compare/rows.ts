/** The metrics of several migrations side by side, each with its difference from the first. */
import type { Report } from "../../api/report.ts";
import { formatBytes, formatDuration } from "../../std/units.ts";

export interface CompareCell {
  readonly text: string;
  /** Against the first; empty for the first itself and where one of the two was not observed. */
  readonly difference: string;
  readonly is: "better" | "worse" | "same" | "unknown";
}
export interface CompareRow {
  readonly group: string;
  readonly label: string;
  readonly cells: readonly CompareCell[];
}

type Pick = (report: Report) => number | null;
interface Line {
  readonly group: string;
  readonly label: string;
  readonly pick: Pick;
  readonly format: (value: number) => string;
}

export const MISSING = "–";
/** Closer than this share is the same: single runs scatter by more. */
const SAME_SHARE = 0.02;

const bytes = formatBytes;
const ms = formatDuration;
const count = (value: number): string => value.toLocaleString("en");
const percent = (value: number): string => `${(value * 100).toFixed(1)} %`;
const seconds = (value: number): string => `${value.toFixed(1)} s`;
const sum = (...parts: readonly (number | null)[]): number | null =>
  parts.some((part) => part === null) ? null : parts.reduce<number>((total, part) => total + (part ?? 0), 0);

const LINES: readonly Line[] = [
  {
    group: "Downtime",
    label: "hosts: target runs − source paused",
    pick: (r) => r.metrics.downtime_ms.vm,
    format: ms,
  },
  { group: "Downtime", label: "a client outside", pick: (r) => r.metrics.downtime_ms.client, format: ms },
  { group: "Downtime", label: "the guest's own clock", pick: (r) => r.metrics.downtime_ms.guest, format: ms },
  {
    group: "Disruption",
    label: "slower than usual, in sum",
    pick: (r) => r.metrics.disruption_ms.sum,
    format: ms,
  },
  { group: "Disruption", label: "from first to last", pick: (r) => r.metrics.disruption_ms.span, format: ms },
  { group: "Time", label: "total", pick: (r) => r.metrics.total_time_ms, format: ms },
  { group: "Time", label: "until the source is free", pick: (r) => r.metrics.eviction_time_ms, format: ms },
  {
    group: "Bytes",
    label: "on the wire, both ways",
    pick: (r) => sum(r.metrics.bytes.wire_out, r.metrics.bytes.wire_in),
    format: bytes,
  },
  { group: "Bytes", label: "as QEMU wrote them", pick: (r) => r.metrics.bytes.qemu, format: bytes },
  {
    group: "Degradation",
    label: "throughput lost",
    pick: (r) => r.metrics.degradation_ratio,
    format: percent,
  },
  { group: "Work", label: "rounds", pick: (r) => r.rounds.length, format: count },
  {
    group: "Work",
    label: "CPU of both QEMUs",
    pick: (r) => sum(r.cpu_seconds.qemu_source, r.cpu_seconds.qemu_target),
    format: seconds,
  },
  {
    group: "Work",
    label: "CPU of both relays",
    pick: (r) => sum(r.cpu_seconds.relay_source, r.cpu_seconds.relay_target),
    format: seconds,
  },
];

export const compareRows = (reports: readonly Report[]): readonly CompareRow[] =>
  LINES.map(({ group, label, pick, format }) => {
    const first = reports[0] === undefined ? null : pick(reports[0]);
    return {
      group,
      label,
      cells: reports.map((report, index) => cell(pick(report), index === 0 ? null : first, format)),
    };
  });

/** Less is better in every line. */
function cell(value: number | null, first: number | null, format: (value: number) => string): CompareCell {
  if (value === null) return { text: MISSING, difference: "", is: "unknown" };
  const text = format(value);
  if (first === null) return { text, difference: "", is: "unknown" };
  const by = value - first;
  if (Math.abs(by) <= SAME_SHARE * Math.abs(first)) return { text, difference: "same", is: "same" };
  const share =
    first === 0 ? "" : `, ${by > 0 ? "+" : "−"}${Math.round((Math.abs(by) / Math.abs(first)) * 100)} %`;
  const difference = `${by > 0 ? "+" : "−"}${format(Math.abs(by))}${share}`;
  return { text, difference, is: by > 0 ? "worse" : "better" };
}
