/**
 * The three stop rules of pre-copy (Clark et al., NSDI 2005), whichever fires first:
 *
 *   (a) so many rounds are over            → the policy's last items
 *   (b) so many times the RAM has been sent → the policy's last items
 *   (c) no more than so much is dirty       → pause now
 *
 * A rule that was not given never fires. What the last items are is the policy's business.
 */
import { formatBytes } from "../std/units.ts";
import { bandwidth, expectedPauseMs, sayMs } from "./pause.ts";
import type { CopyView, Fired } from "./types.ts";
import type { StopRules } from "../api/migration.ts";

/**
 * Rule (c), in words when it fires. To be asked at a round's end only: the dirty log has just been read, so
 * `dirtyBytes` is everything there is to send. Between readings the remaining bytes leave out what the guest wrote
 * since, and near the end of every round they come close to zero: judged there, the rule would always fire.
 */
export function smallEnough(view: CopyView, rules: StopRules): string | null {
  const dirtyBytes = view.rounds.at(-1)?.dirtyBytes;
  if (rules.remainingBytes === undefined || dirtyBytes === undefined) return null;
  if (dirtyBytes > rules.remainingBytes) return null;
  const pause = sayMs(expectedPauseMs(dirtyBytes, bandwidth(view)));
  return `The set is small enough: ${formatBytes(dirtyBytes)} dirty, stop rule at ${formatBytes(rules.remainingBytes)}; about ${pause} of pause.`;
}

/** Rules (a) and (b). (b) may fire within a round: bytes are counted all the time, and a round can be long. */
export function enough(view: CopyView, rules: StopRules): Fired | null {
  const { rounds, sample } = view;
  if (rules.rounds !== undefined && rounds.length >= rules.rounds) {
    return { by: "rounds", because: `Stop rule: ${rounds.length} of ${rules.rounds} rounds are over` };
  }
  if (rules.bytesFactor !== undefined && sample.sentBytes >= rules.bytesFactor * sample.ramBytes) {
    return {
      by: "bytes",
      because: `Stop rule: ${formatBytes(sample.sentBytes)} sent, ${rules.bytesFactor} times the RAM of ${formatBytes(sample.ramBytes)}`,
    };
  }
  return null;
}
