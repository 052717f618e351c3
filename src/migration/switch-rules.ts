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
 * The pause that copying on leads to. Another round is predicted by the line through the last ones; where that line
 * does not fall, another round leaves what the newest left.
 */
export function pauseFromCopyingOn(view: CopyView): number {
  const seen = trend(view.rounds);
  const dirtyBytes =
    seen === null ? (view.rounds.at(-1)?.dirtyBytes ?? view.sample.ramBytes) : predictedDirtyBytes(seen);
  return expectedPauseMs(dirtyBytes, bandwidth(view));
}

/**
 * The time a guest waits for pages if it runs at the target now. The push brings everything within w / B; meanwhile
 * the guest touches the missing set about as fast as it was writing it, and on average half of what it touches has
 * arrived. Each page faults once at most, and no stall outlasts the push.
 */
export function stallFromFetching(view: CopyView): number {
  const bytesPerSecond = bandwidth(view);
  const missingBytes = view.rounds.at(-1)?.dirtyBytes ?? view.sample.ramBytes;
  const pushMs = sendMs(missingBytes, bytesPerSecond);
  if (!Number.isFinite(pushMs)) return Infinity;
  const touchedBytes = Math.min(missingBytes, (view.sample.dirtyBytesPerSecond * pushMs) / 1000);
  const faults = touchedBytes / PAGE_BYTES / 2;
  const faultMs = FAULT_MS + sendMs(PAGE_BYTES, bytesPerSecond);
  return HAND_OVER_MS + Math.min(pushMs, faults * faultMs);
}

/** To be asked at a round's end; the reason in words when it is time to fetch. */
export function timeToFetch(view: CopyView, rule: SwitchRule): string | null {
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
  if (pauseMs - HAND_OVER_MS <= view.sample.downtimeLimitMs || stallMs >= pauseMs) return null;
  return `Fetching is expected to stall the guest for ${sayMs(stallMs)}, copying on to pause it for ${sayMs(pauseMs)}.`;
}
