import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { anyCopy, anySettings, MiB, viewOf } from "../../test/deciding/arbitrary.ts";
import { migrateSettings } from "../api/migration.ts";
import { bandwidth, expectedPauseMs, fitsAllowedPause, outstandingBytes } from "./pause.ts";
import { techniques } from "./techniques/index.ts";
import { freshMemory } from "./types.ts";
import type { CopyView, DeciderMemory, Decision } from "./types.ts";
import type { MigrateSettings, PolicyAction } from "../api/migration.ts";
import type { z } from "zod";

interface Answered {
  readonly view: CopyView;
  readonly decision: Decision;
  readonly before: DeciderMemory;
  readonly memory: DeciderMemory;
}

function ask(settings: MigrateSettings, views: readonly CopyView[]): Answered[] {
  let memory = freshMemory;
  return views.map((view) => {
    const before = memory;
    const answer = techniques[settings.technique].decide(view, settings, before);
    memory = answer.memory;
    return { view, decision: answer.decision, before, memory };
  });
}

const everyAction = ({ policy }: MigrateSettings): readonly PolicyAction[] => [
  ...policy.initial,
  ...policy.convergence.map((item) => item.action),
  ...policy.last,
];

/** For every copy and all settings. */
const always = (property: (settings: MigrateSettings, answered: readonly Answered[]) => void): void => {
  fc.assert(
    fc.property(anySettings, anyCopy, (settings, views) => {
      property(settings, ask(settings, views));
    }),
    { numRuns: 2000 },
  );
};

describe("whatever the copy does", () => {
  test("nothing is said after the decision that ended copying", () => {
    always((_settings, answered) => {
      const end = answered.findIndex(({ decision }) => ["pause", "fetch", "give-up"].includes(decision.do));
      if (end === -1) return;
      expect(answered.slice(end + 1).every(({ decision }) => decision.do === "continue")).toBe(true);
    });
  });

  test("no pause is allowed that nobody asked for", () => {
    always((settings, answered) => {
      const asked = everyAction(settings).flatMap((action) =>
        action.do === "set-downtime" ? [action.downtimeMs] : [],
      );
      const most = Math.max(settings.maxDowntimeMs, settings.adaptiveDowntimeCeilingMs ?? 0, ...asked);
      for (const { decision } of answered) {
        if (decision.do === "set-downtime")
          expect(decision.downtimeMs).toBeLessThanOrEqual(Math.max(1, most));
      }
    });
  });

  test("the guest is paused only for a set that is small enough, allowed, or under a force ceiling", () => {
    always((settings, answered) => {
      const ceilings = everyAction(settings).flatMap((action) =>
        action.do === "force" ? [action.downtimeCeilingMs] : [],
      );
      for (const { view, decision } of answered) {
        if (decision.do !== "pause") continue;
        const dirtyBytes = view.rounds.at(-1)?.dirtyBytes ?? Infinity;
        const small = dirtyBytes <= (settings.stopRules.remainingBytes ?? -1);
        const pauseMs = expectedPauseMs(outstandingBytes(view), bandwidth(view));
        expect(small || fitsAllowedPause(view, settings) || pauseMs <= Math.max(...ceilings)).toBe(true);
      }
    });
  });

  test("each item of a policy acts at most once", () => {
    always((settings, answered) => {
      for (const kind of ["throttle", "set-downtime"] as const) {
        if (kind === "set-downtime" && settings.adaptiveDowntimeCeilingMs !== undefined) continue;
        const items = everyAction(settings).filter((action) => action.do === kind).length;
        // The pause asked for is allowed once more, after the short first one.
        const most = kind === "set-downtime" ? items + 1 : items;
        expect(answered.filter(({ decision }) => decision.do === kind).length).toBeLessThanOrEqual(most);
      }
      for (const { before, memory } of answered) {
        expect(memory.nextInitial).toBeGreaterThanOrEqual(before.nextInitial);
        expect(memory.nextConvergence).toBeGreaterThanOrEqual(before.nextConvergence);
        expect(memory.nextLast).toBeGreaterThanOrEqual(before.nextLast);
      }
    });
  });

  test("fetching is chosen only where the technique or the policy names it", () => {
    always((settings, answered) => {
      const named =
        settings.technique === "hybrid" || everyAction(settings).some((action) => action.do === "post-copy");
      if (!named) expect(answered.some(({ decision }) => decision.do === "fetch")).toBe(false);
    });
  });

  test("giving up is called timed-out exactly when the timeout has passed", () => {
    always((settings, answered) => {
      for (const { view, decision } of answered) {
        if (decision.do !== "give-up") continue;
        const passed = view.nowMs - view.startedAtMs >= (settings.timeoutMs ?? Infinity);
        expect(decision.outcome).toBe(passed ? "timed-out" : "cancelled");
      }
    });
  });

  test("memory survives a journal, and the same question gets the same answer", () => {
    always((settings, answered) => {
      for (const { view, before, memory, decision } of answered) {
        const restored = JSON.parse(JSON.stringify(before)) as DeciderMemory;
        expect(restored).toEqual(before);
        const again = techniques[settings.technique].decide(view, settings, restored);
        expect(again).toEqual({ decision, memory });
      }
    });
  });

  test("a timeout ends in an ending once every last item has had its time", () => {
    fc.assert(
      fc.property(anySettings, anyCopy, (any, views) => {
        const settings = { ...any, technique: "pre-copy" as const, timeoutMs: 1 };
        const base = views.at(-1) ?? viewOf([]);
        // Rounds that never end: only the overrun of each item moves things on.
        const later = Array.from({ length: 12 }, (_, index) => ({
          ...base,
          nowMs: base.nowMs + (index + 1) * 5000,
        }));
        const answered = ask(settings, [...views, ...later]);
        expect(answered.at(-1)?.memory.ended).not.toBeNull();
      }),
    );
  });
});

describe("the order of judging", () => {
  const pre = (asked: z.input<typeof migrateSettings>): MigrateSettings => migrateSettings.parse(asked);
  const first = (settings: MigrateSettings, view: CopyView): Decision =>
    techniques[settings.technique].decide(view, settings, freshMemory).decision;

  test("a set that is small enough is paused even as the timeout passes", () => {
    const settings = pre({ timeoutMs: 1000, stopRules: { remainingBytes: 60 * MiB } });
    expect(first(settings, viewOf([50])).do).toBe("pause");
    expect(first(settings, viewOf([70])).do).toBe("give-up");
  });

  test("what fits the allowed pause is paused, not cancelled, when a stop rule fires", () => {
    const settings = pre({ stopRules: { rounds: 1 } });
    expect(first(settings, viewOf([20])).do).toBe("pause");
    expect(first(settings, viewOf([30])).do).toBe("give-up");
  });

  test("the timeout takes over from a stop rule whose last item is still at work", () => {
    const settings = pre({
      timeoutMs: 2500,
      stopRules: { rounds: 1 },
      policy: { last: [{ do: "set-downtime", downtimeMs: 400 }, { do: "cancel" }] },
    });
    const answered = ask(settings, [viewOf([90]), viewOf([90], {}, 1000), viewOf([90], {}, 1500)]);
    expect(answered.map(({ decision }) => decision.do)).toEqual(["set-downtime", "continue", "give-up"]);
    expect(answered.at(-1)?.decision).toMatchObject({ outcome: "timed-out" });
  });

  test("rounds that ended between two questions are all counted as stalled", () => {
    const settings = pre({
      policy: { convergence: [{ stalledRounds: 3, action: { do: "throttle", percentMax: 50 } }] },
    });
    expect(first(settings, viewOf([90, 90, 90])).do).toBe("continue");
    expect(first(settings, viewOf([90, 90, 90, 90])).do).toBe("throttle");
  });

  test("a new minimum within the margin of noise is still a stall", () => {
    const settings = pre({
      policy: { convergence: [{ stalledRounds: 2, action: { do: "cancel" } }] },
    });
    expect(first(settings, viewOf([90, 88, 87])).do).toBe("give-up");
    expect(first(settings, viewOf([90, 86, 80])).do).toBe("continue");
  });

  test("without convergence items there is no ladder to run out of", () => {
    const settings = pre({});
    expect(first(settings, viewOf(Array.from({ length: 200 }, () => 90))).do).toBe("continue");
  });

  test("initial items come one per call, pauses among them are part of the opening", () => {
    const settings = pre({
      policy: {
        initial: [
          { do: "set-downtime", downtimeMs: 60 },
          { do: "throttle", percentMax: 30 },
          { do: "throttle", percentMax: 40 },
        ],
      },
    });
    expect(techniques["pre-copy"].opening(settings).downtimeLimitMs).toBe(10);
    const answered = ask(settings, [viewOf([]), viewOf([], {}, 100), viewOf([], {}, 200)]);
    expect(answered.map(({ decision }) => decision.do)).toEqual(["throttle", "throttle", "continue"]);
  });
});
