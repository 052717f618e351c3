/**
 * What a pause would cost now: the estimates every rule shares, so that "allowed" and "expected" mean the same
 * everywhere. It leaves to others what to do about it.
 */
import { formatDuration } from "../std/units.ts";
import type { CopyView } from "./types.ts";
import type { MigrateSettings } from "../api/migration.ts";

/**
 * What a pause holds on top of memory: device state, the answers between the two agents, two journal writes.
 * An allowance for a small machine, not a measurement of this one.
 */
export const HAND_OVER_MS = 50;

/** QEMU's smallest downtime-limit above zero; means "do not switch over by yourself". */
export const COPIER_PAUSE_MS_MIN = 1;

/** What the copier may use for memory of a pause people asked for. */
export const copierPauseMs = (askedMs: number): number =>
  Math.max(COPIER_PAUSE_MS_MIN, askedMs - HAND_OVER_MS);

const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? 0;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? 0) + upper) / 2;
};

/**
 * Bytes per second to reckon with: the middle of the newest reading and the last two rounds. One reading covers a
 * tenth of a second and jumps; a whole round can hide a link that has just become slower.
 */
export function bandwidth(view: CopyView): number {
  const rates = [view.sample, ...view.rounds.slice(-2)].map((reading) => reading.sendBytesPerSecond);
  return median(rates.filter((rate) => rate > 0));
}

/**
 * What a pause now is expected to have to send. Between two readings of the dirty log `remainingBytes` only shrinks:
 * it leaves out what the guest has written since, so taken alone it promises too short a pause. The writes since the
 * last reading are added at the measured rate. That rate is a mean, and dirtying is fastest right after a reading,
 * when every write meets a clean page; so never less than the last reading itself, which the next one will resemble.
 */
export function outstandingBytes(view: CopyView): number {
  const newest = view.rounds.at(-1);
  const readAtMs = newest === undefined ? view.startedAtMs : newest.startMs + newest.durationMs;
  const sinceMs = Math.max(0, view.nowMs - readAtMs);
  const written = (view.sample.dirtyBytesPerSecond * sinceMs) / 1000;
  const expected = Math.max(newest?.dirtyBytes ?? 0, view.sample.remainingBytes + written);
  return Math.min(view.sample.ramBytes, expected);
}

/** Time to send so many bytes. Infinity when nothing moves. */
export const sendMs = (bytes: number, bytesPerSecond: number): number =>
  bytes <= 0 ? 0 : bytesPerSecond <= 0 ? Infinity : (bytes * 1000) / bytesPerSecond;

/** The pause people would see for so many bytes. */
export const expectedPauseMs = (bytes: number, bytesPerSecond: number): number =>
  sendMs(bytes, bytesPerSecond) + HAND_OVER_MS;

/** The pause people asked for: the flag's, or the last one the policy's initial items name. */
export function askedPauseMs(settings: MigrateSettings): number {
  let askedMs = settings.maxDowntimeMs;
  for (const action of settings.policy.initial) {
    if (action.do === "set-downtime") askedMs = action.downtimeMs;
  }
  return askedMs;
}

/**
 * What the copier is allowed at first. It switches over as soon as the rest fits, so a pause that is allowed is also
 * taken: 300 ms asked for became 240 ms of an idle guest. A short first allowance costs a round or two, and is
 * raised to what was asked for once rounds bring no less.
 */
export const FIRST_PAUSE_MS = 20;
/**
 * The same behind a relay. QEMU reckons with the rate at which the relay takes its bytes; loaded they are only after both
 * relays. With 20 ms a Redis was paused for 64 ms, with this for 27, in the same time (docs/benchmarks.md, "The wire").
 */
export const FIRST_RELAYED_PAUSE_MS = 6;

/** What the copier may use by the time it matters: its limit now, or what was asked for and is allowed after a stall. */
export const allowedPauseMs = (view: CopyView, settings: MigrateSettings): number =>
  Math.max(view.sample.downtimeLimitMs, copierPauseMs(askedPauseMs(settings)));

/** Whether a pause now stays within what is allowed. */
export const fitsAllowedPause = (view: CopyView, settings: MigrateSettings): boolean =>
  sendMs(outstandingBytes(view), bandwidth(view)) <= allowedPauseMs(view, settings);

/** A duration for sentences; a link that moves nothing has no finite one. */
export const sayMs = (ms: number): string => (Number.isFinite(ms) ? formatDuration(ms) : "for ever");
