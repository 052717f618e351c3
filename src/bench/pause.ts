/**
 * Where a pause went: the host's downtime cut at the steps of the hand-over, and the sentence of the rule that ended
 * copying. Read from a report's timeline; what was not written there is not guessed.
 */
import type { Report, TimelineEntry } from "../api/report.ts";

/** A part ends with the first of these entries after the part before it. */
const PARTS: readonly { readonly part: string; readonly side: "source" | "target"; readonly ends: RegExp }[] =
  [
    { part: "rest of the memory and devices", side: "source", ends: /^QEMU completed$/ },
    { part: "source's journal", side: "source", ends: /^source handing-over$/ },
    { part: "offer, load and accept", side: "target", ends: /^target accepted$/ },
    { part: "target's journal and start", side: "target", ends: /^guest running$/ },
  ];

export type PauseParts = Readonly<Record<string, number>>;

/** Empty when the guest did not change hosts, or paused long before it was handed over (stop-and-copy copies there). */
export function pauseParts(report: Report): PauseParts {
  if (report.outcome !== "done") return {};
  const paused = report.timeline.findLast(
    ({ host, what }) => host === report.source && what === "guest paused",
  );
  if (paused === undefined) return {};
  const parts: Record<string, number> = {};
  let fromMs = paused.atMs;
  const fetched = report.timeline.some(({ what }) => what === "QEMU postcopy-active");
  for (const { part, side, ends } of PARTS) {
    // With post-copy nothing is sent first: the whole pause is the hand-over's.
    if (fetched && part === PARTS[0]?.part) continue;
    const entry = report.timeline.find(
      ({ host, what, atMs }) =>
        host === (side === "source" ? report.source : report.target) && ends.test(what) && atMs >= fromMs,
    );
    if (entry === undefined) continue;
    parts[part] = entry.atMs - fromMs;
    fromMs = entry.atMs;
  }
  return parts;
}

/** Rules speak in sentences; everything else on a timeline is an event's name. */
const isSentence = ({ what }: TimelineEntry): boolean => /^[A-Z0-9].* .*\.$/.test(what);

/** Why copying ended as it did. */
export function because(report: Report): string {
  if (report.outcome !== "done") return report.reason;
  const said = report.timeline.filter(({ host }) => host === report.source).findLast(isSentence);
  if (said !== undefined) return said.what;
  if (report.technique === "stop-and-copy") return "The guest was paused first.";
  if (report.technique === "post-copy") return "The guest was started at the target at once.";
  return "QEMU's own rule: what was left fitted the pause allowed.";
}
