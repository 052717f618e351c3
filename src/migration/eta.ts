/**
 * The time a migration is expected to need still: most likely, and a range from what was observed. Rounds are played
 * forward with the measured rates; the range plays them with the best and the worst pair of rates seen. Undefined
 * while nothing can honestly be said: before the first reading, without any bandwidth, and when neither the rates nor
 * any rule will end it.
 */
import { allowedPauseMs, bandwidth, HAND_OVER_MS, sendMs } from "./pause.ts";
import type { CopyView } from "./types.ts";
import type { MigrateSettings, PhaseName, Progress } from "../api/migration.ts";

export interface EtaInput {
  readonly phase: PhaseName;
  readonly view?: CopyView;
  readonly settings: MigrateSettings;
}

type Eta = NonNullable<Progress["eta"]>;

/** Rounds the spread is taken from, and no spread is believed to be smaller than this share. */
const SPREAD_ROUNDS = 5;
const SPREAD_MIN = 0.1;

/** Rounds played forward at most; by then a set that shrinks by a tenth per round is a hundredth. */
const PLAYED_ROUNDS_MAX = 50;

/**
 * Before the dirty log has been read once nobody knows what the guest writes. Clark et al. (NSDI 2005) sent 1.2 to
 * 1.4 times the RAM for real services; Xen gave up at 3 times.
 */
const FIRST_ROUND_FACTOR = 1.25;
const FIRST_ROUND_FACTOR_MAX = 3;

/** When even a bad case would not end by itself, the range ends here: as many times the likely value. */
const UNBOUNDED_FACTOR = 10;

interface Rates {
  readonly send: number;
  readonly dirty: number;
}

/**
 * Time until what is dirty fits the allowed pause, and that pause. Undefined when it never does: each round leaves
 * what the guest writes meanwhile, never more than the largest set any round has left.
 */
function playForward(view: CopyView, { send, dirty }: Rates, allowedMs: number): number | undefined {
  const largest = Math.max(0, ...view.rounds.map((round) => round.dirtyBytes));
  let roundMs = sendMs(view.sample.remainingBytes, send);
  let totalMs = 0;
  for (let played = 0; played < PLAYED_ROUNDS_MAX; played += 1) {
    if (!Number.isFinite(roundMs)) return undefined;
    if (roundMs <= allowedMs) return totalMs + roundMs + HAND_OVER_MS;
    totalMs += roundMs;
    roundMs = sendMs(Math.min((dirty * roundMs) / 1000, largest), send);
  }
  return undefined;
}

/** Time until the settings end it, whatever the rates do: the earliest of timeout, stop rules and switch rule. */
function endedByRule(view: CopyView, settings: MigrateSettings, send: number): number | undefined {
  const { sample, rounds } = view;
  const { stopRules, switchRule, timeoutMs } = settings;
  const ends: number[] = [];
  if (timeoutMs !== undefined) ends.push(view.startedAtMs + timeoutMs - view.nowMs);
  if (stopRules.bytesFactor !== undefined) {
    ends.push(sendMs(stopRules.bytesFactor * sample.ramBytes - sample.sentBytes, send));
  }
  const setMs = sendMs(rounds.at(-1)?.dirtyBytes ?? sample.ramBytes, send);
  const thisRoundMs = sendMs(sample.remainingBytes, send);
  const untilRound = (round: number): number => thisRoundMs + Math.max(0, round - rounds.length - 1) * setMs;
  if (stopRules.rounds !== undefined) ends.push(untilRound(stopRules.rounds));
  if (settings.technique === "hybrid" && switchRule.when === "after-rounds") {
    ends.push(untilRound(switchRule.rounds) + setMs + HAND_OVER_MS);
  }
  const finite = ends.filter((ms) => Number.isFinite(ms)).map((ms) => Math.max(0, ms));
  return finite.length === 0 ? undefined : Math.min(...finite);
}

const earliest = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined ? b : b === undefined ? a : Math.min(a, b);

const range = (ms: number, lowMs: number, highMs: number): Eta => ({
  ms,
  lowMs: Math.max(0, Math.min(lowMs, ms * (1 - SPREAD_MIN))),
  highMs: Math.max(highMs, ms * (1 + SPREAD_MIN)),
});

/** The rates seen lately, sorted into the likely pair, the best and the worst. */
function observed(view: CopyView): { likely: Rates; best: Rates; worst: Rates } {
  const recent = [...view.rounds.slice(-SPREAD_ROUNDS), view.sample];
  const send = recent.map((reading) => reading.sendBytesPerSecond).filter((rate) => rate > 0);
  const dirty = recent.map((reading) => reading.dirtyBytesPerSecond);
  return {
    likely: { send: bandwidth(view), dirty: view.sample.dirtyBytesPerSecond },
    best: { send: Math.max(...send), dirty: Math.min(...dirty) },
    worst: { send: Math.min(...send), dirty: Math.max(...dirty) },
  };
}

/** The same bytes at every rate: a fetch, or a copy of a paused guest. */
function sendingOnly(view: CopyView): Eta {
  const { likely, best, worst } = observed(view);
  const { remainingBytes } = view.sample;
  const at = ({ send }: Rates): number => sendMs(remainingBytes, send) + HAND_OVER_MS;
  return range(at(likely), at(best), at(worst));
}

function copying(view: CopyView, settings: MigrateSettings): Eta | undefined {
  const { likely, best, worst } = observed(view);
  const ruleAt = ({ send }: Rates): number | undefined => endedByRule(view, settings, send);
  if (view.rounds.length === 0) {
    const onceMs = sendMs(view.sample.remainingBytes, likely.send) + HAND_OVER_MS;
    const ruleMs = ruleAt(likely) ?? Infinity;
    const ms = Math.min(onceMs * FIRST_ROUND_FACTOR, ruleMs);
    return range(ms, Math.min(onceMs, ms), Math.min(onceMs * FIRST_ROUND_FACTOR_MAX, ruleMs));
  }
  // A pause up to the adaptive ceiling will be allowed once it is the only way.
  const allowedMs = Math.max(
    allowedPauseMs(view, settings),
    (settings.adaptiveDowntimeCeilingMs ?? 0) - HAND_OVER_MS,
  );
  const at = (rates: Rates): number | undefined =>
    earliest(playForward(view, rates, allowedMs), ruleAt(rates));
  const ms = at(likely);
  if (ms === undefined) return undefined;
  return range(ms, at(best) ?? ms, at(worst) ?? ms * UNBOUNDED_FACTOR);
}

export function eta({ phase, view, settings }: EtaInput): Eta | undefined {
  if (view === undefined || bandwidth(view) <= 0) return undefined;
  if (phase === "copying") {
    return settings.technique === "stop-and-copy" ? sendingOnly(view) : copying(view, settings);
  }
  return phase === "switching" || phase === "fetching" ? sendingOnly(view) : undefined;
}
