/** From a course to what its charts draw, each with a sentence that says the same. */
import type { ClientLatency } from "../../api/latency.ts";
import type { PageClasses } from "../../api/wire.ts";
import { formatBytes, formatDuration, formatRate } from "../../std/units.ts";
import { phasesOfTrail } from "../scene/rounds.ts";
import type { Reading, Trail } from "../state/trail.ts";
import type { ChartBand, ChartLine } from "../ui/time-chart.tsx";

const PAGE_BYTES = 4096;

export interface ChartData {
  readonly seconds: readonly number[];
  readonly lines: readonly ChartLine[];
  readonly summary: string;
  /** Where the scale ends, whatever lies above; absent: at the highest value. */
  readonly top?: number;
}

/** QEMU has given no figures yet: nothing is known, which is not nothing. */
const unread = (one: Reading): boolean => one.phase === "preparing" || one.ramBytes === 0;

export const secondsOf = (trail: Trail): readonly number[] => trail.map((one) => one.elapsedMs / 1000);

/** While the guest is paused, and while it runs at the target without all of its memory. */
export const phaseBands = (trail: Trail): readonly ChartBand[] =>
  phasesOfTrail(trail).flatMap(({ phase, startMs, endMs }) => {
    const color =
      phase === "switching" || phase === "handing-over"
        ? "--gw-band-paused"
        : phase === "fetching"
          ? "--gw-band-fetching"
          : phase === "fetch-paused"
            ? "--gw-band-bad"
            : undefined;
    return color === undefined ? [] : [{ fromS: startMs / 1000, toS: endMs / 1000, color }];
  });

/** Axes that crept with every reading would not be readable: their ends are one of these times ten to some power. */
const AXIS_STEPS = [1, 1.5, 2, 3, 4, 5, 6, 8, 10];

/** Where the end is expected, as a band on the time axis, and how far the axis has to reach for it. */
export function expectedEnd(
  trail: Trail,
): { readonly band: ChartBand; readonly axisEndS: number } | undefined {
  const now = trail.at(-1);
  if (now?.eta === undefined) return undefined;
  const { ms, lowMs, highMs } = now.eta;
  const at = (left: number): number => (now.elapsedMs + left) / 1000;
  // A worst case without bound would press all that happened into a corner.
  const toS = Math.min(at(highMs), at(ms) * 1.5);
  const power = 10 ** Math.floor(Math.log10(Math.max(1, toS)));
  const axisEndS = (AXIS_STEPS.find((step) => step * power >= toS) ?? 10) * power;
  return { band: { fromS: at(lowMs), toS, color: "--gw-band-expected" }, axisEndS };
}

export function remaining(trail: Trail): ChartData {
  const now = trail.at(-1);
  const most = Math.max(0, ...trail.map((one) => one.remainingBytes));
  const values = trail.map((one) => (unread(one) ? null : one.remainingBytes));
  return {
    seconds: secondsOf(trail),
    lines: [{ label: "Remaining", values, color: "--gw-blue", fill: true }],
    summary:
      now === undefined
        ? "Nothing read yet."
        : `At most ${formatBytes(most)}, now ${formatBytes(now.remainingBytes)} of ${formatBytes(now.ramBytes)}.`,
  };
}

/** A guest that writes much for one moment must not press the rest of the course flat. */
const USUAL_SHARE = 0.9;

export function rates(trail: Trail): ChartData {
  const copying = trail.filter((one) => one.phase === "copying" && one.round > 1);
  const above = copying.filter((one) => one.dirtyBytesPerSecond > one.sendBytesPerSecond).length;
  const now = trail.at(-1);
  const linkMost = Math.max(0, ...trail.map((one) => one.sendBytesPerSecond));
  const writes = copying.map((one) => one.dirtyBytesPerSecond).toSorted((a, b) => a - b);
  const usualMost = writes[Math.floor(writes.length * USUAL_SHARE)] ?? 0;
  const moving = (one: Trail[number], value: number): number | null =>
    !unread(one) && (one.phase === "copying" || one.phase === "fetching") ? value : null;
  return {
    seconds: secondsOf(trail),
    top: Math.max(linkMost * 2, usualMost),
    lines: [
      {
        label: "Link moves",
        values: trail.map((one) => moving(one, one.sendBytesPerSecond)),
        color: "--gw-teal",
      },
      {
        label: "Guest writes",
        values: trail.map((one) =>
          // At the target it writes what nobody has to send any more.
          one.phase === "copying" && (one.round > 1 || one.dirtyBytesPerSecond > 0)
            ? moving(one, one.dirtyBytesPerSecond)
            : null,
        ),
        color: "--gw-orange",
        fill: true,
      },
    ],
    summary:
      now === undefined
        ? "Nothing read yet."
        : `The guest writes ${formatRate(now.dirtyBytesPerSecond)}, the link moves ${formatRate(now.sendBytesPerSecond)}. ` +
          (copying.length === 0
            ? "Nothing known yet of whether it converges."
            : `The guest wrote faster than the link in ${Math.round((above / copying.length) * 100)} % of the time since the first round.`),
  };
}

export const CLASS_WORDS: Readonly<Record<keyof PageClasses, string>> = {
  zero: "zero",
  unchanged: "unchanged",
  duplicate: "duplicate",
  referenced: "referenced",
  delta: "delta",
  compressed: "compressed",
  raw: "raw",
};
/** Cheapest at the bottom: what lies on top is what costs. */
export const CLASSES = Object.keys(CLASS_WORDS) as readonly (keyof PageClasses)[];
export const CLASS_COLORS: Readonly<Record<keyof PageClasses, string>> = {
  zero: "--gw-class-zero",
  unchanged: "--gw-class-unchanged",
  duplicate: "--gw-class-duplicate",
  referenced: "--gw-class-referenced",
  delta: "--gw-class-delta",
  compressed: "--gw-class-compressed",
  raw: "--gw-class-raw",
};

/** Each slice where it ends: by then all of it is known. */
export function clientWaits({ slice_ms, longest_ms }: ClientLatency): ChartData {
  const seconds = longest_ms.map((_, index) => ((index + 1) * slice_ms) / 1000);
  const known = longest_ms.flatMap((ms, index) => (ms === null ? [] : [{ ms, atS: seconds[index] ?? 0 }]));
  const inOrder = known.toSorted((a, b) => a.ms - b.ms);
  const usual = inOrder[inOrder.length >> 1];
  const longest = inOrder.at(-1);
  return {
    seconds,
    lines: [{ label: "Longest wait", values: longest_ms, color: "--gw-orange", fill: true }],
    summary:
      usual === undefined || longest === undefined
        ? "Nobody has answered yet."
        : `Usually ${formatDuration(usual.ms)}; at most ${formatDuration(longest.ms)}, ${longest.atS.toFixed(1)} s after the start.`,
  };
}

/** On the direct way: what QEMU has written, as it crosses. */
export function written(trail: Trail): ChartData {
  const now = trail.at(-1);
  return {
    seconds: secondsOf(trail),
    lines: [
      {
        label: "as QEMU writes it",
        values: trail.map((one) => (unread(one) ? null : one.sentBytes)),
        color: "--gw-class-raw",
        fill: true,
      },
    ],
    summary: `${formatBytes(now?.sentBytes ?? 0)} so far, every page as QEMU writes it.`,
  };
}

/** Undefined while no relay has counted a page: the direct way has none. */
export function classes(trail: Trail): ChartData | undefined {
  const counted = trail.filter((one) => one.wire !== undefined);
  const wire = counted.at(-1)?.wire;
  if (wire === undefined) return undefined;
  const total = CLASSES.reduce((sum, one) => sum + wire.pages[one], 0);
  const used = CLASSES.filter((one) => wire.pages[one] > 0);
  return {
    seconds: secondsOf(counted),
    lines: used.map((one) => ({
      label: CLASS_WORDS[one],
      color: CLASS_COLORS[one],
      values: counted.map((reading) => (reading.wire?.pages[one] ?? 0) * PAGE_BYTES),
    })),
    summary: `${formatBytes(wire.qemuBytes)} from QEMU became ${formatBytes(wire.wireBytes)} on the wire. ${used
      .map((one) => `${CLASS_WORDS[one]} ${Math.round((wire.pages[one] / Math.max(1, total)) * 100)} %`)
      .join(", ")}.`,
  };
}
