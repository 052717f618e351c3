/** The pause broken into its parts, from the report's timeline: each part ends with what both hosts noted. */
import type { Report } from "../../api/report.ts";

export interface PausePart {
  readonly what: string;
  readonly host: string;
  readonly startMs: number;
  readonly endMs: number;
}

const PAUSED = "guest paused";
const RUNNING = "guest running";

/** What was going on until that was noted. A note that ends no part of its own falls into the next one. */
const PARTS: Readonly<Record<"source" | "target", Readonly<Record<string, string>>>> = {
  source: {
    "QEMU pre-switchover": "the last memory is sent",
    "QEMU device": "the last memory is sent",
    "QEMU postcopy-active": "device state crosses",
    "QEMU completed": "the source hears that all has arrived",
    "source handing-over": "the source gives the guest up, journaled",
  },
  target: {
    "QEMU postcopy-active": "device state crosses",
    "QEMU completed": "last memory and device state cross and are loaded",
    "target loaded": "the target notes that it is loaded, journaled",
    "target accepted": "the target takes the guest over, journaled",
    "guest running": "the target's vCPUs start",
  },
};

/** Empty when there was no pause that ended at the target, or the hosts share no clock. */
export function pauseParts(report: Report): readonly PausePart[] {
  if (report.outcome !== "done" || report.metrics.downtime_ms.vm === null) return [];
  const { timeline, source, target } = report;
  const running = timeline.findLast((entry) => entry.what === RUNNING && entry.host === target);
  const paused = timeline.findLast(
    (entry) => entry.what === PAUSED && entry.host === source && entry.atMs <= (running?.atMs ?? -1),
  );
  if (running === undefined || paused === undefined) return [];
  const parts: PausePart[] = [];
  let startMs = paused.atMs;
  const inside = timeline
    .filter(({ atMs }) => atMs >= paused.atMs && atMs <= running.atMs)
    .toSorted((a, b) => a.atMs - b.atMs);
  for (const { what, host, atMs } of inside) {
    const words = PARTS[host === target ? "target" : "source"][what];
    if (words === undefined || atMs === startMs) continue;
    const last = parts.at(-1);
    if (last?.what === words) parts[parts.length - 1] = { ...last, endMs: atMs };
    else parts.push({ what: words, host, startMs, endMs: atMs });
    startMs = atMs;
    if (what === RUNNING) break;
  }
  return parts;
}
