/**
 * What the observers' logs say about one migration. Pure: logs in, figures out; all times are milliseconds on one
 * clock, usually after t0. Leaves it to observe.ts to read the logs and to say what was not observed.
 *
 * Which interval each figure uses:
 * - client downtime and guest downtime: every gap that overlaps the window, counted whole, also where it reaches
 *   beyond the window. A gap that has no end in the log counts to the window's end: then it is a lower bound.
 * - disruption: windows of 100 ms from t0 to the end of the log's window, judged against those of the baseline.
 * - degradation: all of the window against all of the base.
 * Baseline and base are lists of spans: an earlier migration of the same guest is cut out of them.
 */

export interface Span {
  readonly fromMs: number;
  readonly toMs: number;
}

/** What is left of a span when others are cut out of it. */
export function without(span: Span, cut: readonly Span[]): Span[] {
  let left = [span];
  for (const { fromMs, toMs } of cut) {
    left = left.flatMap((part) => [
      { fromMs: part.fromMs, toMs: Math.min(part.toMs, fromMs) },
      { fromMs: Math.max(part.fromMs, toMs), toMs: part.toMs },
    ]);
    left = left.filter((part) => part.toMs > part.fromMs);
  }
  return left;
}

export const lengthMs = (spans: readonly Span[]): number =>
  spans.reduce((total, { fromMs, toMs }) => total + Math.max(0, toMs - fromMs), 0);

const within = (ms: number, spans: readonly Span[]): boolean =>
  spans.some(({ fromMs, toMs }) => ms >= fromMs && ms < toMs);

/** One answered probe. */
export interface Answer {
  readonly seq: number;
  readonly sentMs: number;
  readonly receivedMs: number;
}

/** One beacon from inside the guest; ticks count there, times are taken outside. */
export interface Beacon {
  readonly tick: number;
  readonly receivedMs: number;
}

/** One operation of an open-loop client; `dueMs` is when it was meant to be sent. */
export interface Operation {
  readonly dueMs: number;
  readonly doneMs: number;
}

export interface Downtime {
  readonly ms: number;
  readonly atMs: number;
  /** Nothing came after the gap: it lasted at least this long. */
  readonly openEnded: boolean;
}

const overlaps = (fromMs: number, toMs: number, window: Span): boolean =>
  toMs > window.fromMs && fromMs < window.toMs;

/** The longest gap, where `missing` says how much of the time between two neighbours was lost. */
function longestGap<T>(
  items: readonly T[],
  window: Span,
  timeOf: (item: T) => number,
  missing: (before: T, after: T) => number,
  stepMs: number,
): Downtime | null {
  let longest: Downtime | null = null;
  const consider = (ms: number, atMs: number, openEnded: boolean): void => {
    if (longest === null || ms > longest.ms) longest = { ms: Math.max(0, ms), atMs, openEnded };
  };
  let before: T | null = null;
  for (const item of items) {
    if (before !== null && overlaps(timeOf(before), timeOf(item), window)) {
      consider(missing(before, item), timeOf(before), false);
    }
    before = item;
  }
  if (before !== null && timeOf(before) < window.toMs) {
    const fromMs = timeOf(before);
    consider(window.toMs - fromMs - stepMs, fromMs, window.toMs - fromMs > stepMs);
  }
  return longest;
}

/** Longest interval between two answers' arrivals, minus the probe's period. Null without any answer. */
export function clientDowntime(answers: readonly Answer[], window: Span, periodMs: number): Downtime | null {
  const inOrder = [...answers].sort((a, b) => a.receivedMs - b.receivedMs);
  return longestGap(
    inOrder,
    window,
    (answer) => answer.receivedMs,
    (before, after) => after.receivedMs - before.receivedMs - periodMs,
    periodMs,
  );
}

/** Probes sent in the window that were never answered, as far as later answers show. */
export function lostProbes(answers: readonly Answer[], window: Span): number {
  const inOrder = [...answers].sort((a, b) => a.seq - b.seq);
  let lost = 0;
  for (const [index, after] of inOrder.entries()) {
    const before = inOrder[index - 1];
    if (before === undefined || !overlaps(before.sentMs, after.sentMs, window)) continue;
    lost += Math.max(0, after.seq - before.seq - 1);
  }
  return lost;
}

/**
 * The longest time the prober itself was late: neighbours in number that were sent more than a period apart. The
 * prober leaves out what it could not send in time, so this is its own fault, not the guest's.
 */
export function proberStallMs(answers: readonly Answer[], window: Span, periodMs: number): number {
  const inOrder = [...answers].sort((a, b) => a.seq - b.seq);
  let longest = 0;
  for (const [index, after] of inOrder.entries()) {
    const before = inOrder[index - 1];
    if (before === undefined || after.seq !== before.seq + 1) continue;
    if (!overlaps(before.sentMs, after.sentMs, window)) continue;
    longest = Math.max(longest, after.sentMs - before.sentMs - periodMs);
  }
  return longest;
}

/** Longest time missing from the guest: outside time between two beacons minus the ticks between them. */
export function guestDowntime(beacons: readonly Beacon[], window: Span, tickMs: number): Downtime | null {
  const inOrder = [...beacons].sort((a, b) => a.receivedMs - b.receivedMs);
  return longestGap(
    inOrder,
    window,
    (beacon) => beacon.receivedMs,
    (before, after) => after.receivedMs - before.receivedMs - (after.tick - before.tick) * tickMs,
    tickMs,
  );
}

/** Beacons whose tick was seen before or is lower than one seen: a guest that went back, or ran twice. */
export function ticksGoneBack(beacons: readonly Beacon[]): number {
  let highest = -1;
  let back = 0;
  for (const beacon of [...beacons].sort((a, b) => a.receivedMs - b.receivedMs)) {
    if (beacon.tick <= highest) back += 1;
    highest = Math.max(highest, beacon.tick);
  }
  return back;
}

export const WINDOW_MS = 100;
/** Two seconds without a degraded window end a disruption. */
const CLEAN_WINDOWS = 20;
const THROUGHPUT_SHARE = 0.95;
const LATENCY_FACTOR = 1.5;
const LATENCY_STEP_MS = 1;
/** Fewer say nothing about a median. */
const BASELINE_WINDOWS_MIN = 10;

export interface Disruption {
  /** From the first degraded window's start to the last one's end. */
  readonly spanMs: number;
  /** Degraded windows times their width. */
  readonly sumMs: number;
  /** Throughput missing over the span, in seconds of baseline service; catching up later gives nothing back. */
  readonly lostServiceSeconds: number;
  /** Share of degraded windows in the baseline itself. */
  readonly baselineFalsePositive: number;
  readonly baselineWindows: number;
  /** The log ended before two clean seconds were seen. */
  readonly stillDisrupted: boolean;
}

interface Window {
  readonly done: number;
  readonly p99Ms: number;
}

/** Operations by when they were done; a last window that is not whole is left out. */
function windows(operations: readonly Operation[], span: Span): Window[] {
  const count = Math.max(0, Math.floor((span.toMs - span.fromMs) / WINDOW_MS));
  const latencies: number[][] = Array.from({ length: count }, () => []);
  for (const { dueMs, doneMs } of operations) {
    latencies[Math.floor((doneMs - span.fromMs) / WINDOW_MS)]?.push(doneMs - dueMs);
  }
  return latencies.map((values) => ({ done: values.length, p99Ms: percentile(values, 0.99) }));
}

/** The smallest value that at least this share of values do not exceed; 0 of none. */
export function percentile(values: readonly number[], share: number): number {
  const inOrder = [...values].sort((a, b) => a - b);
  return inOrder[Math.max(0, Math.ceil(inOrder.length * share) - 1)] ?? 0;
}

/**
 * A window is degraded when it has less than 95 % of the baseline's median throughput, or a p99 latency above both
 * 1.5 times the baseline's and the baseline's + 1 ms. Disruption begins with the first degraded window at or after t0.
 * Twenty clean windows end it, but not before `settledMs` (t6): a migration may rest between its disturbances.
 *
 * @returns null when the baseline is too short to judge by.
 */
export function disruption(
  operations: readonly Operation[],
  baseline: readonly Span[],
  observed: Span,
  settledMs: number,
): Disruption | null {
  const base = baseline.flatMap((span) => windows(operations, span));
  const usual = percentile(
    base.map((window) => window.done),
    0.5,
  );
  if (base.length < BASELINE_WINDOWS_MIN || usual === 0) return null;
  const baseP99Ms = percentile(
    operations.filter(({ doneMs }) => within(doneMs, baseline)).map(({ dueMs, doneMs }) => doneMs - dueMs),
    0.99,
  );
  const latencyMaxMs = Math.max(baseP99Ms * LATENCY_FACTOR, baseP99Ms + LATENCY_STEP_MS);
  const degraded = (window: Window): boolean =>
    window.done < usual * THROUGHPUT_SHARE || window.p99Ms > latencyMaxMs;

  let first = -1;
  let last = -1;
  let sum = 0;
  let clean = 0;
  const seen = windows(operations, observed);
  for (const [index, window] of seen.entries()) {
    if (degraded(window)) {
      first = first === -1 ? index : first;
      last = index;
      sum += 1;
      clean = 0;
      continue;
    }
    clean += 1;
    const cleanSinceMs = observed.fromMs + (index + 1 - CLEAN_WINDOWS) * WINDOW_MS;
    if (clean >= CLEAN_WINDOWS && cleanSinceMs >= settledMs) break;
  }
  const missing = first === -1 ? [] : seen.slice(first, last + 1);
  return {
    spanMs: missing.length * WINDOW_MS,
    sumMs: sum * WINDOW_MS,
    lostServiceSeconds:
      missing.reduce((total, window) => total + Math.max(0, 1 - window.done / usual), 0) * (WINDOW_MS / 1000),
    baselineFalsePositive: base.filter(degraded).length / base.length,
    baselineWindows: base.length,
    stillDisrupted: last !== -1 && clean < CLEAN_WINDOWS,
  };
}

/** 1 - throughput in the window / throughput in the base; negative when it went better. Null without a base. */
export function degradation(
  operations: readonly Operation[],
  window: Span,
  base: readonly Span[],
): number | null {
  const perMs = (spans: readonly Span[]): number =>
    operations.filter(({ doneMs }) => within(doneMs, spans)).length / lengthMs(spans);
  if (lengthMs([window]) === 0 || lengthMs(base) === 0) return null;
  const usual = perMs(base);
  return usual === 0 ? null : 1 - perMs([window]) / usual;
}
