/** What the relays made of a stream, in one line. Classes that did not occur are left out. */
import type { Report } from "../api/report.ts";
import type { WireCounters } from "../api/wire.ts";
import { formatBytes } from "../std/units.ts";

/** In the order of what they cost on the wire. */
const CLASSES = ["zero", "unchanged", "duplicate", "delta", "referenced", "compressed", "raw"] as const;

export function pageWords(pages: Report["pages"]): string {
  const counted = CLASSES.map((name) => [name, pages[name] ?? 0] as const).filter(([, count]) => count > 0);
  const all = counted.reduce((sum, [, count]) => sum + count, 0);
  if (all === 0) return "no pages counted";
  const share = (count: number): string =>
    count / all < 0.01 ? "<1 %" : `${Math.round((100 * count) / all)} %`;
  return `pages: ${counted.map(([name, count]) => `${name} ${share(count)}`).join(", ")}`;
}

export function wireWords(wire: WireCounters): string {
  const { qemuBytes, wireBytes, ratio, pages, passThrough, keptPages = 0, bootPages = 0 } = wire;
  const ratioWords = ratio === null ? "" : ` (${ratio.toFixed(1)}:1)`;
  const bytes = `relays: ${formatBytes(qemuBytes)} as ${formatBytes(wireBytes)}${ratioWords}`;
  const kept = keptPages === 0 ? "" : `, ${keptPages} pages known from before`;
  const known = bootPages === 0 ? kept : `, ${bootPages} pages known from its boot files`;
  return `${bytes}${known}, ${passThrough === undefined ? pageWords(pages) : `passed as they are: ${passThrough}`}`;
}
