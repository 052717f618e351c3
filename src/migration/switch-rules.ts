/**
 * When hybrid stops copying and starts fetching: after so many rounds, when dirty bytes stop shrinking, or when
 * fetching is expected to stall the guest for less time than the pause that copying on leads to.
 */
import { formatBytes } from "../std/units.ts";
import { bandwidth, expectedPauseMs, HAND_OVER_MS, sayMs, sendMs } from "./pause.ts";
import { predictedDirtyBytes, stoppedShrinking, trend } from "./working-set.ts";
import type { CopyView } from "./types.ts";
import type { SwitchRule } from "../api/migration.ts";

/** What one fault moves. */
const PAGE_BYTES = 4096;

/**
 * From the fault to the page: a round trip in a local network, and the threads that wake on both sides.
 * An assumption, not a measurement of this link; a slow link's page time is added to it.
 */
const FAULT_MS = 1;

/**
 * The pause that copying on leads to: what the next round is predicted to leave. With enough rounds that is the line
 * through them; before, what the guest writes while the newest set is sent.
 */
export function pauseFromCopyingOn(view: CopyView): number {
  const bytesPerSecond = bandwidth(view);
  const seen = trend(view.rounds);
  if (seen !== null) return expectedPauseMs(predictedDirtyBytes(seen), bytesPerSecond);
  const newestBytes = view.rounds.at(-1)?.dirtyBytes ?? view.sample.ramBytes;
  const writtenBytes = (view.sample.dirtyBytesPerSecond * sendMs(newestBytes, bytesPerSecond)) / 1000;
  return expectedPauseMs(Math.min(view.sample.ramBytes, writtenBytes), bytesPerSecond);
}

/**
 * The time a guest waits for pages if it runs at the target now. The push brings the missing set within T = w / B, so
 * the share m of it that is missing falls from 1 to 0 over T. The guest touches f pages per millisecond of running,
 * as fast as it was dirtying them; a touch that misses costs F more. Of each moment it stalls the share
 * m F f / (1 + m F f); over T that is T (1 - ln(1 + a) / a) with a = F f, always less than T.
 */
export function stallFromFetching(view: CopyView): number {
  const bytesPerSecond = bandwidth(view);
  const missingBytes = view.rounds.at(-1)?.dirtyBytes ?? view.sample.ramBytes;
  const pushMs = sendMs(missingBytes, bytesPerSecond);
  const faultMs = FAULT_MS + sendMs(PAGE_BYTES, bytesPerSecond);
  const touchesPerMs = view.sample.dirtyBytesPerSecond / PAGE_BYTES / 1000;
  const a = faultMs * touchesPerMs;
  // A guest that touches without end waits through the whole push.
  const share = a === 0 ? 0 : Number.isFinite(a) ? Math.min(1, Math.max(0, 1 - Math.log1p(a) / a)) : 1;
  return share === 0 ? HAND_OVER_MS : pushMs * share + HAND_OVER_MS;
}

/** To be asked at a round's end; the reason in words when it is time to fetch. */
export function timeToFetch(view: CopyView, rule: SwitchRule, allowedMs: number): string | null {
  if (rule.when === "after-rounds") {
    if (view.rounds.length < rule.rounds) return null;
    return `${view.rounds.length} of ${rule.rounds} rounds are copied: the guest runs at the target and fetches the rest.`;
  }
  if (rule.when === "stalled") {
    const seen = trend(view.rounds);
    if (seen === null || !stoppedShrinking(seen)) return null;
    return `Dirty memory has stopped shrinking at ${formatBytes(seen.dirtyBytes)}: fetching moves it once.`;
  }
  const pauseMs = pauseFromCopyingOn(view);
  const stallMs = stallFromFetching(view);
  // A pause that is allowed anyway needs no fetching, which could lose the guest with the link.
  if (pauseMs - HAND_OVER_MS <= allowedMs || stallMs >= pauseMs) return null;
  return `Fetching is expected to stall the guest for ${sayMs(stallMs)}, copying on to pause it for ${sayMs(pauseMs)}.`;
}
