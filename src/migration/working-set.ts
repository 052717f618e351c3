/**
 * The writable working set from the history of rounds, and the pause allowed from it: adaptive downtime after
 * Piao et al. (BDCloud 2014), in our formulation. w is what was dirty at a round's end, B the bandwidth.
 *
 *   w no longer falls           → further rounds cannot help: allow w / B + hand-over, if the ceiling permits
 *   w falls, and it pays        → another round
 *   w falls too slowly to pay   → as if it no longer fell
 *
 * Works only with a ceiling people gave. What happens above the ceiling is the policy's business.
 */
import { formatBytes } from "../std/units.ts";
import { bandwidth, copierPauseMs, HAND_OVER_MS, sayMs, sendMs } from "./pause.ts";
import type { CopyView, Decision, Round } from "./types.ts";
import type { MigrateSettings } from "../api/migration.ts";

/** Rounds the line is fitted over: older ones tell of another phase of the guest's work. */
const FIT_ROUNDS = 5;

/** Two points always lie on a line; a third shows whether there is one. */
const FIT_ROUNDS_MIN = 3;

/** Less change per round than this share of the set is noise: the margin of KubeVirt's stall detector (VEP 248). */
export const NOISE_SHARE = 0.04;

/**
 * What a millisecond of another round costs the guest, in milliseconds of pause. In Clark et al. a web server
 * served 870 Mbit/s alone and 694 Mbit/s during the later rounds: a fifth of its work was lost.
 */
const ROUND_COST_SHARE = 0.2;

/** The measured bandwidth swings by about this much; a limit set to the byte would be missed. */
const BANDWIDTH_HEADROOM = 1.1;

export interface Trend {
  readonly dirtyBytes: number;
  /** Change of dirty bytes per round, least squares. */
  readonly slopeBytes: number;
  readonly meanBytes: number;
}

/** Null while there are too few rounds to say. */
export function trend(rounds: readonly Round[]): Trend | null {
  const recent = rounds.slice(-FIT_ROUNDS).map((round) => round.dirtyBytes);
  const newest = recent.at(-1);
  if (newest === undefined || recent.length < FIT_ROUNDS_MIN) return null;
  const meanBytes = recent.reduce((sum, bytes) => sum + bytes, 0) / recent.length;
  const middle = (recent.length - 1) / 2;
  let covariance = 0;
  let variance = 0;
  for (const [index, bytes] of recent.entries()) {
    covariance += (index - middle) * (bytes - meanBytes);
    variance += (index - middle) ** 2;
  }
  return { dirtyBytes: newest, slopeBytes: covariance / variance, meanBytes };
}

export const stoppedShrinking = ({ slopeBytes, meanBytes }: Trend): boolean =>
  slopeBytes >= -NOISE_SHARE * meanBytes;

/** What the next round is predicted to leave dirty. */
export const predictedDirtyBytes = ({ dirtyBytes, slopeBytes }: Trend): number =>
  Math.max(0, dirtyBytes + Math.min(0, slopeBytes));

/** Whether the pause saved by another round is worth that round. Both are bytes over the same bandwidth. */
function anotherRoundPays(seen: Trend): boolean {
  const saved = seen.dirtyBytes - predictedDirtyBytes(seen);
  return saved > ROUND_COST_SHARE * seen.dirtyBytes;
}

/** To be asked at a round's end. Null: go on, or leave it to the ladder. Never lowers a pause once allowed. */
export function adaptDowntime(view: CopyView, settings: MigrateSettings): Decision | null {
  const ceilingMs = settings.adaptiveDowntimeCeilingMs;
  if (ceilingMs === undefined) return null;
  const seen = trend(view.rounds);
  if (seen === null) return null;
  if (!stoppedShrinking(seen) && anotherRoundPays(seen)) return null;
  const memoryMs = sendMs(seen.dirtyBytes, bandwidth(view));
  if (memoryMs + HAND_OVER_MS > ceilingMs) return null;
  const pauseMs = Math.min(ceilingMs, memoryMs * BANDWIDTH_HEADROOM + HAND_OVER_MS);
  if (copierPauseMs(pauseMs) <= view.sample.downtimeLimitMs) return null;
  return {
    do: "set-downtime",
    downtimeMs: copierPauseMs(pauseMs),
    because: `Further rounds do not pay: ${formatBytes(seen.dirtyBytes)} stay dirty. A pause of ${sayMs(pauseMs)} is allowed for them, ceiling ${sayMs(ceilingMs)}.`,
  };
}
