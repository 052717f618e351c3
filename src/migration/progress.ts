/**
 * What people are shown of a running migration: a fraction that never decreases, the time left with a range, and one
 * sentence that says what limits it now. How long it will take is estimated in eta.ts.
 */
import { formatBytes, formatDuration, formatRate } from "../std/units.ts";
import { eta } from "./eta.ts";
import { allowedPauseMs, bandwidth, sendMs } from "./pause.ts";
import type { CopyView } from "./types.ts";
import type { MigrateSettings, PhaseName, Progress } from "../api/migration.ts";

export interface ProgressInput {
  readonly phase: PhaseName;
  /** Absent until the copy has given its first reading. */
  readonly view?: CopyView;
  readonly settings: MigrateSettings;
  readonly nowMs: number;
  readonly startedAtMs: number;
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

function copyingLimit(view: CopyView, settings: MigrateSettings): string {
  const { sample } = view;
  const moves = bandwidth(view);
  if (moves <= 0) return "Nothing moves: the link or the target takes no bytes.";
  const cap = settings.bandwidthBytesPerSecond;
  const capped = cap !== undefined && sample.sendBytesPerSecond >= CAP_SHARE * cap;
  const path = capped ? `the bandwidth cap allows ${formatRate(cap)}` : `the link moves ${formatRate(moves)}`;
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

function limitNow({ phase, view, settings }: ProgressInput): string {
  switch (phase) {
    case "preparing":
      return "Both hosts prepare; no memory moves yet.";
    case "copying":
      return view === undefined ? "Copying begins; nothing measured yet." : copyingLimit(view, settings);
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
      return "Nothing: it has ended, and the guest is at the source.";
    case "needs-person":
      break;
  }
  phase satisfies "needs-person";
  return "It waits for a person to decide.";
}

export function nextProgress(previous: Progress | undefined, input: ProgressInput): Progress {
  const { phase, view, nowMs, startedAtMs } = input;
  const left = eta(input);
  const before = previous?.fraction ?? 0;
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
  };
}
