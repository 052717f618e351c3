/**
 * The one order in which everything about a running copy is judged; the techniques add only their own way to end.
 *
 *   0. copying has ended already            → nothing more is said
 *   1. the policy's initial items           one per call
 *   2. stop rule (c) at a round's end       → pause: ending well beats every rule below
 *   3. timeout, then stop rules (a), (b)    → last items
 *   4. the technique's own way at a round's end
 *   5. a round stalled under the short first pause → the pause asked for is allowed
 *   6. the policy's ladder at a round's end, and its last items when it has run out
 *
 * Before any last item: what fits the pause already allowed is paused, not given up.
 */
import { formatDuration } from "../std/units.ts";
import { askedPauseMs, copierPauseMs, fitsAllowedPause, sayMs } from "./pause.ts";
import { countStalls, initialItem, ladder, lastItem, lastItemDue, timedOut } from "./policy.ts";
import { enough, smallEnough } from "./stop-rules.ts";
import type { CopyView, Decided, DeciderMemory, Decision, Fired, Technique } from "./types.ts";
import type { MigrateSettings } from "../api/migration.ts";

/** A technique's own way to end, asked at each round's end. Null: nothing to say. */
export type OwnWay = (view: CopyView, settings: MigrateSettings) => Decision | null;

const CONTINUE: Decision = { do: "continue" };

const STRENGTH = { stalled: 1, rounds: 2, bytes: 2, timeout: 3 } as const;

const stronger = (a: Fired, b: Fired | null): boolean => b === null || STRENGTH[a.by] > STRENGTH[b.by];

/** Remembers that copying has ended, so that nothing can contradict it later. */
function settled({ decision, memory }: Decided): Decided {
  const ends = decision.do === "pause" || decision.do === "fetch" || decision.do === "give-up";
  return { decision, memory: ends ? { ...memory, ended: decision.do } : memory };
}

function lastResort(view: CopyView, settings: MigrateSettings, memory: DeciderMemory): Decided {
  if (fitsAllowedPause(view, settings)) {
    const because = `${memory.fired?.because ?? "Copying does not end"}: what is left fits the pause allowed.`;
    return { decision: { do: "pause", because }, memory };
  }
  return lastItem(view, settings, memory);
}

function allowWhatWasAsked(
  view: CopyView,
  settings: MigrateSettings,
  memory: DeciderMemory,
): Decision | null {
  const askedMs = askedPauseMs(settings);
  const downtimeMs = copierPauseMs(askedMs);
  if (memory.askedAllowed || memory.stalledRounds === 0 || view.sample.downtimeLimitMs >= downtimeMs)
    return null;
  return {
    do: "set-downtime",
    downtimeMs,
    because: `Rounds bring no less any more: the pause asked for, ${sayMs(askedMs)}, is allowed.`,
  };
}

function ruleThatFired(view: CopyView, settings: MigrateSettings): Fired | null {
  if (timedOut(view, settings)) {
    return { by: "timeout", because: `The timeout of ${formatDuration(settings.timeoutMs ?? 0)} has passed` };
  }
  return enough(view, settings.stopRules);
}

function judge(view: CopyView, settings: MigrateSettings, before: DeciderMemory, ownWay: OwnWay): Decided {
  const opening = initialItem(view, settings, before);
  if (opening !== null) return opening;

  let memory = countStalls(view, { ...before, nextInitial: settings.policy.initial.length });
  const roundEnded = memory.judgedRounds > before.judgedRounds;

  const small = roundEnded ? smallEnough(view, settings.stopRules) : null;
  if (small !== null) return { decision: { do: "pause", because: small }, memory };

  const fired = ruleThatFired(view, settings);
  if (fired !== null && stronger(fired, memory.fired)) {
    return lastResort(view, settings, { ...memory, fired });
  }
  if (memory.fired !== null && memory.fired.by !== "stalled") {
    return lastItemDue(view, settings, memory)
      ? lastResort(view, settings, memory)
      : { decision: CONTINUE, memory };
  }
  if (!roundEnded) return { decision: CONTINUE, memory };

  const own = ownWay(view, settings);
  if (own !== null) return { decision: own, memory };

  const asked = allowWhatWasAsked(view, settings, memory);
  if (asked !== null) return { decision: asked, memory: { ...memory, askedAllowed: true } };

  if (memory.fired === null) {
    const rung = ladder(view, settings, memory);
    if (rung === null) return { decision: CONTINUE, memory };
    if ("decision" in rung) return rung;
    memory = { ...memory, fired: rung };
  }
  return lastItemDue(view, settings, memory)
    ? lastResort(view, settings, memory)
    : { decision: CONTINUE, memory };
}

/** Makes a technique's `decide` from its own way to end. */
export const decideWith =
  (ownWay: OwnWay): Technique["decide"] =>
  (view, settings, memory) =>
    memory.ended === null ? settled(judge(view, settings, memory, ownWay)) : { decision: CONTINUE, memory };
