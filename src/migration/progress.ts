/**
 * What people are shown of a running migration: a fraction that never decreases, the time left with a range, and one
 * sentence that says what limits it now. How long it will take is estimated in eta.ts.
 */
import { formatBytes, formatDuration, formatRate } from "../std/units.ts";
import { eta } from "./eta.ts";
import { allowedPauseMs, bandwidth, sendMs } from "./pause.ts";
import type { CopyView } from "./types.ts";
import type { MigrateSettings, PhaseName, Progress } from "../api/migration.ts";
import type { WireCounters } from "../api/wire.ts";

export interface ProgressInput {
  readonly phase: PhaseName;
  /** Absent until the copy has given its first reading. */
  readonly view?: CopyView;
  readonly settings: MigrateSettings;
  readonly nowMs: number;
  readonly startedAtMs: number;
  /** Shown by this agent before it restarted, at most. */
  readonly fractionBound?: number | undefined;
  /** What the relays make of the stream; absent on the direct way. */
  readonly wire?: WireCounters | undefined;
}

/** No phase shows more than this, so that what comes after it can still be seen to move. */
const FRACTION_MAX: Record<PhaseName, number> = {
  preparing: 0.02,
  copying: 0.95,
  switching: 0.97,
  "handing-over": 0.98,
  "handed-over": 0.98,
  fetching: 0.99,
  "fetch-paused": 0.99,
  cancelling: 0,
  done: 1,
  aborted: 0,
  "needs-person": 0,
};

/** Above this share of a cap it is the cap that limits, not the link. */
const CAP_SHARE = 0.9;

/** Time already spent against time still expected; without an estimate, the share of memory that is over there. */
function share(input: ProgressInput, etaMs: number | undefined): number {
  const elapsedMs = input.nowMs - input.startedAtMs;
  if (input.phase === "done") return 1;
  if (etaMs !== undefined && elapsedMs + etaMs > 0) return elapsedMs / (elapsedMs + etaMs);
  const { sample } = input.view ?? {};
  return sample === undefined || sample.ramBytes <= 0 ? 0 : 1 - sample.remainingBytes / sample.ramBytes;
}

/** Rates are of the guest's memory: through the relays more of it moves than the link carries. */
function pathWords(
  { bandwidthBytesPerSecond: cap }: MigrateSettings,
  capped: boolean,
  moves: number,
  wire: WireCounters | undefined,
): string {
  if (wire !== undefined) {
    const under = cap === undefined ? "" : ` under the cap of ${formatRate(cap)}`;
    const ratio = wire.ratio === null ? "" : ` with 1 byte for ${wire.ratio.toFixed(1)}`;
    return `the relays move ${formatRate(moves)}${ratio}${under}`;
  }
  return capped ? `the bandwidth cap allows ${formatRate(cap ?? 0)}` : `the link moves ${formatRate(moves)}`;
}

function copyingLimit(view: CopyView, settings: MigrateSettings, wire?: WireCounters): string {
  const { sample } = view;
  const moves = bandwidth(view);
  if (moves <= 0) return "Nothing moves: the link or the target takes no bytes.";
  const cap = settings.bandwidthBytesPerSecond;
  const capped = wire === undefined && cap !== undefined && sample.sendBytesPerSecond >= CAP_SHARE * cap;
  const path = pathWords(settings, capped, moves, wire);
  if (settings.technique === "stop-and-copy") return `The guest is paused; ${path}.`;
  if (view.rounds.length === 0) return `First round, nothing known of the guest's writing yet: ${path}.`;
  const writes = `guest writes ${formatRate(sample.dirtyBytesPerSecond)}`;
  const slowed = sample.throttlePercent > 0 ? `, its vCPUs slowed down by ${sample.throttlePercent} %` : "";
  const dirtyBytes = view.rounds.at(-1)?.dirtyBytes ?? 0;
  const allowedMs = allowedPauseMs(view, settings);
  const tooLong = sendMs(dirtyBytes, moves) > allowedMs;
  if (tooLong && sample.dirtyBytesPerSecond >= moves) {
    return `The ${writes}${slowed}, ${path}: copying alone cannot end with a pause of ${formatDuration(allowedMs)}.`;
  }
  return `The ${writes}${slowed}, ${path}${capped ? ": the cap limits" : ""}.`;
}

function limitNow({ phase, view, settings, wire }: ProgressInput): string {
  switch (phase) {
    case "preparing":
      return "Both hosts prepare; no memory moves yet.";
    case "copying":
      return view === undefined
        ? "Copying begins; nothing measured yet."
        : copyingLimit(view, settings, wire);
    case "switching":
      return view === undefined
        ? "The guest is paused; the rest of its state moves."
        : `The guest is paused; ${formatBytes(view.sample.remainingBytes)} and its devices move.`;
    case "handing-over":
      return "All state has moved; the target is asked to run the guest.";
    case "handed-over":
      return "The guest runs at the target; the source clears up.";
    case "fetching":
      return view === undefined
        ? "The guest runs at the target and fetches its memory."
        : `The guest runs at the target; ${formatBytes(view.sample.remainingBytes)} are still to fetch, the link moves ${formatRate(bandwidth(view))}.`;
    case "fetch-paused":
      return "The link was lost while memory was in two halves; it goes on when the hosts reach each other again.";
    case "cancelling":
      return "It is being cancelled; the guest stays at the source.";
    case "done":
      return "Nothing: it is done.";
    case "aborted":
      return "Nothing: it has ended without a move.";
    case "needs-person":
      break;
  }
  phase satisfies "needs-person";
  return "It waits for a person to decide.";
}

const BOUND_STEP = 0.05;
const BOUND_MAX = FRACTION_MAX.fetching;

/** A bound of what is shown that changes seldom enough to be journaled; a restarted agent goes on from there. */
export const fractionBound = ({ fraction }: Progress): number =>
  Math.min(BOUND_MAX, (Math.floor(fraction / BOUND_STEP) + 1) * BOUND_STEP);

export function nextProgress(previous: Progress | undefined, input: ProgressInput): Progress {
  const { phase, view, nowMs, startedAtMs } = input;
  const left = eta(input);
  const before = previous?.fraction ?? input.fractionBound ?? 0;
  const now = Math.min(FRACTION_MAX[phase], Math.max(0, share(input, left?.ms)));
  const sample = view?.sample;
  return {
    phase,
    fraction: Math.max(before, Number.isFinite(now) ? now : 0),
    round: sample?.round ?? previous?.round ?? 0,
    ramBytes: sample?.ramBytes ?? previous?.ramBytes ?? 0,
    sentBytes: sample?.sentBytes ?? previous?.sentBytes ?? 0,
    remainingBytes: sample?.remainingBytes ?? previous?.remainingBytes ?? 0,
    sendBytesPerSecond: sample?.sendBytesPerSecond ?? 0,
    dirtyBytesPerSecond: sample?.dirtyBytesPerSecond ?? 0,
    throttlePercent: sample?.throttlePercent ?? 0,
    elapsedMs: Math.max(0, nowMs - startedAtMs),
    ...(left === undefined ? {} : { eta: left }),
    limit: limitNow(input),
    ...(input.wire === undefined ? {} : { wire: input.wire }),
  };
}
