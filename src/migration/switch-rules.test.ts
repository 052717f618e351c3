import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { anyCopy, MiB, viewOf } from "../../test/deciding/arbitrary.ts";
import { bandwidth, expectedPauseMs, HAND_OVER_MS } from "./pause.ts";
import { pauseFromCopyingOn, stallFromFetching, timeToFetch } from "./switch-rules.ts";

/** A pause allowed that nothing here fits. */
const SHORT = 100;

describe("hybrid switches", () => {
  test("after so many rounds", () => {
    expect(timeToFetch(viewOf([90]), { when: "after-rounds", rounds: 2 }, SHORT)).toBeNull();
    expect(timeToFetch(viewOf([90, 80]), { when: "after-rounds", rounds: 2 }, SHORT)).toContain(
      "2 of 2 rounds",
    );
  });

  test("when dirty bytes have stopped shrinking, not before", () => {
    expect(timeToFetch(viewOf([90, 80, 70]), { when: "stalled" }, SHORT)).toBeNull();
    expect(timeToFetch(viewOf([90, 90, 90]), { when: "stalled" }, SHORT)).toContain("stopped shrinking");
  });

  test("when fetching stalls for less than copying on would pause", () => {
    const slow = { dirtyBytesPerSecond: 20 * MiB };
    expect(timeToFetch(viewOf([90, 90, 90], slow), { when: "shorter-stall" }, SHORT)).toContain("expected");
    expect(timeToFetch(viewOf([150, 100, 50], slow), { when: "shorter-stall" }, SHORT)).toBeNull();
  });

  test("not for a pause that is allowed anyway", () => {
    const view = viewOf([90, 90, 90], { dirtyBytesPerSecond: 20 * MiB });
    expect(timeToFetch(view, { when: "shorter-stall" }, 1000)).toBeNull();
  });
});

describe("the two estimates", () => {
  test("copying on leads to what the next round leaves", () => {
    expect(pauseFromCopyingOn(viewOf([90, 80, 70]))).toBeCloseTo(600 + HAND_OVER_MS, 0);
    expect(pauseFromCopyingOn(viewOf([100], { dirtyBytesPerSecond: 30 * MiB }))).toBeCloseTo(
      300 + HAND_OVER_MS,
      0,
    );
  });

  test("a guest that touches nothing does not stall, and one that touches more stalls longer", () => {
    const stall = (touchedMiB: number): number =>
      stallFromFetching(viewOf([90], { dirtyBytesPerSecond: touchedMiB * MiB }));
    expect(stall(0)).toBe(HAND_OVER_MS);
    expect(stall(1)).toBeGreaterThan(stall(0));
    expect(stall(100)).toBeGreaterThan(stall(10));
  });

  test("no stall outlasts sending the whole missing set", () => {
    fc.assert(
      fc.property(anyCopy, (views) => {
        for (const view of views) {
          const missing = view.rounds.at(-1)?.dirtyBytes ?? view.sample.ramBytes;
          expect(stallFromFetching(view)).toBeLessThanOrEqual(expectedPauseMs(missing, bandwidth(view)));
        }
      }),
    );
  });
});
