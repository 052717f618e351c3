/**
 * The ladder of a policy, in the shape of oVirt's: initial items, convergence items per stalled round, last items.
 * Decides which item is next and what it means now. When the last items start because of time or a stop rule is
 * decided in decide.ts.
 *
 * - A stalled round brought no new minimum of dirty bytes.
 * - A convergence item acts once, in order, when so many rounds in a row have stalled; one item per round, because
 *   an item needs a round to show.
 * - The ladder has run out when rounds go on stalling after its last convergence item. A policy without convergence
 *   items has no ladder to run out of: only a stop rule or the timeout brings its last items.
 * - Each last item is given until the next round's end; a throttle longer, because it rises step by step. After the
 *   last of them there is nothing left to try: give up.
 */
import { bandwidth, copierPauseMs, expectedPauseMs, outstandingBytes, sayMs } from "./pause.ts";
import { NOISE_SHARE } from "./working-set.ts";
import type { CopyView, Decided, DeciderMemory, Decision, Fired } from "./types.ts";
import type { MigrateSettings, PolicyAction } from "../api/migration.ts";

/** A last item may outlast the timeout by this share of it, so that one endless round cannot hold up the next item. */
const OVERRUN_SHARE = 0.1;

/** Enough for one switchover after a short timeout. */
const OVERRUN_MS_MIN = 5000;

/**
 * What a throttle gets to rise before what comes after it. It rises in three steps; QEMU takes one at the second look
 * that finds too much dirty, and looks at a round's end, at most once a second.
 */
const THROTTLE_ROUNDS = 7;
const THROTTLE_MS = 10_000;

export const timedOut = (view: CopyView, settings: MigrateSettings): boolean =>
  settings.timeoutMs !== undefined && view.nowMs - view.startedAtMs >= settings.timeoutMs;

/** Exit code 5 tells scripts that time ran out, 4 that somebody, or the policy, cancelled. */
export const giveUp = (view: CopyView, settings: MigrateSettings, because: string): Decision => ({
  do: "give-up",
  outcome: timedOut(view, settings) ? "timed-out" : "cancelled",
  because,
});

/** Counts the rounds that ended since the last call. */
export function countStalls(view: CopyView, memory: DeciderMemory): DeciderMemory {
  let { leastDirtyBytes, stalledRounds } = memory;
  for (const { dirtyBytes } of view.rounds.slice(memory.judgedRounds)) {
    if (leastDirtyBytes === null || dirtyBytes < leastDirtyBytes * (1 - NOISE_SHARE)) {
      leastDirtyBytes = dirtyBytes;
      stalledRounds = 0;
    } else {
      stalledRounds += 1;
    }
  }
  return { ...memory, leastDirtyBytes, stalledRounds, judgedRounds: view.rounds.length };
}

/** What an item means now; null when it cannot help (a forced pause above its ceiling). */
function act(action: PolicyAction, view: CopyView, settings: MigrateSettings, why: string): Decision | null {
  switch (action.do) {
    case "set-downtime":
      return {
        do: "set-downtime",
        downtimeMs: copierPauseMs(action.downtimeMs),
        because: `${why}: the policy allows a pause of ${sayMs(action.downtimeMs)}.`,
      };
    case "throttle":
      return {
        do: "throttle",
        percentMax: action.percentMax,
        because: `${why}: the policy slows the guest's vCPUs down by up to ${action.percentMax} %.`,
      };
    case "post-copy":
      return {
        do: "fetch",
        because: `${why}: the policy runs the guest at the target and fetches the rest.`,
      };
    case "force": {
      const pauseMs = expectedPauseMs(outstandingBytes(view), bandwidth(view));
      if (pauseMs > action.downtimeCeilingMs) return null;
      return {
        do: "pause",
        because: `${why}: the policy forces a pause, about ${sayMs(pauseMs)} under its ceiling of ${sayMs(action.downtimeCeilingMs)}.`,
      };
    }
    case "cancel":
      break;
  }
  action.do satisfies "cancel";
  return giveUp(view, settings, `${why}: the policy cancels. The guest runs on at the source.`);
}

const rises = (acted: PolicyAction | undefined, view: CopyView): boolean =>
  acted?.do === "throttle" && view.sample.throttlePercent < acted.percentMax;

/** The next initial item that says something. Pauses are part of the opening already. */
export function initialItem(
  view: CopyView,
  settings: MigrateSettings,
  before: DeciderMemory,
): Decided | null {
  let memory = before;
  for (;;) {
    const action = settings.policy.initial[memory.nextInitial];
    if (action === undefined) return null;
    memory = { ...memory, nextInitial: memory.nextInitial + 1 };
    if (action.do === "set-downtime") continue;
    const decision = act(action, view, settings, "At the start");
    if (decision !== null) return { decision, memory };
  }
}

/** To be asked at a round's end: the convergence item due now, or that the ladder has run out. */
export function ladder(
  view: CopyView,
  settings: MigrateSettings,
  before: DeciderMemory,
): Decided | Fired | null {
  const items = settings.policy.convergence;
  const why = `${before.stalledRounds} stalled ${before.stalledRounds === 1 ? "round" : "rounds"}`;
  let memory = before;
  for (;;) {
    const item = items[memory.nextConvergence];
    if (item === undefined) break;
    if (memory.stalledRounds < item.stalledRounds) return null;
    memory = { ...memory, nextConvergence: memory.nextConvergence + 1 };
    const decision = act(item.action, view, settings, why);
    if (decision === null) continue;
    const throttledAtMs = decision.do === "throttle" ? view.nowMs : memory.throttledAtMs;
    return { decision, memory: { ...memory, throttledAtMs } };
  }
  const lowest = items.at(-1);
  if (lowest === undefined) return null;
  const isRising = rises(lowest.action, view);
  if (isRising && view.nowMs - (memory.throttledAtMs ?? view.startedAtMs) < THROTTLE_MS) return null;
  const patience = isRising ? THROTTLE_ROUNDS : 0;
  if (memory.stalledRounds <= lowest.stalledRounds + patience) return null;
  return { by: "stalled", because: `${why}, and the ladder has run out` };
}

/** Whether the newest last item has had its time. */
export function lastItemDue(view: CopyView, settings: MigrateSettings, memory: DeciderMemory): boolean {
  if (memory.fired === null) return false;
  if (memory.lastItem === null) return true;
  const isThrottle = settings.policy.last[memory.nextLast - 1]?.do === "throttle";
  const patience = isThrottle ? THROTTLE_ROUNDS : 1;
  const roundEnded = view.rounds.length >= memory.lastItem.round + patience;
  if (memory.fired.by === "stalled") return roundEnded && memory.stalledRounds > 0;
  if (memory.fired.by !== "timeout")
    return roundEnded && !(isThrottle && view.nowMs - memory.lastItem.atMs < THROTTLE_MS);
  const overrunMs = Math.max(OVERRUN_MS_MIN, OVERRUN_SHARE * (settings.timeoutMs ?? 0));
  return roundEnded || view.nowMs - memory.lastItem.atMs >= overrunMs;
}

/** The next last item that can help; giving up when there is none. */
export function lastItem(view: CopyView, settings: MigrateSettings, before: DeciderMemory): Decided {
  const why = before.fired?.because ?? "Copying does not end";
  let memory: DeciderMemory = { ...before, lastItem: { round: view.rounds.length, atMs: view.nowMs } };
  let refused = "";
  for (;;) {
    const action = settings.policy.last[memory.nextLast];
    if (action === undefined) {
      const because = `${why}${refused}: the policy has nothing left to try. The guest runs on at the source.`;
      return { decision: giveUp(view, settings, because), memory };
    }
    memory = { ...memory, nextLast: memory.nextLast + 1 };
    const decision = act(action, view, settings, `${why}${refused}`);
    if (decision !== null) return { decision, memory };
    refused = "; a forced pause would be longer than its ceiling";
  }
}
