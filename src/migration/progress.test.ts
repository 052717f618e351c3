import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { anyCopy, anySettings, MiB, viewOf } from "../../test/deciding/arbitrary.ts";
import { migrateSettings, PHASES, progress as progressShape } from "../api/migration.ts";
import { fractionBound, nextProgress } from "./progress.ts";
import type { CopyView } from "./types.ts";
import type { MigrateSettings, PhaseName, Progress } from "../api/migration.ts";
import type { z } from "zod";

const settingsOf = (asked: z.input<typeof migrateSettings> = {}): MigrateSettings =>
  migrateSettings.parse(asked);

const shown = (phase: PhaseName, view: CopyView | undefined, settings = settingsOf()): Progress =>
  nextProgress(undefined, {
    phase,
    ...(view === undefined ? {} : { view }),
    settings,
    nowMs: view?.nowMs ?? 0,
    startedAtMs: 0,
  });

/** Any phases in any order, with and without readings. */
const always = (property: (seen: readonly Progress[]) => void): void => {
  fc.assert(
    fc.property(anySettings, anyCopy, fc.array(fc.constantFrom(...PHASES)), (settings, views, phases) => {
      let previous: Progress | undefined;
      const seen = phases.map((phase, index) => {
        const view = views[index];
        previous = nextProgress(previous, {
          phase,
          ...(view === undefined ? {} : { view }),
          settings,
          nowMs: view?.nowMs ?? 1000 + index,
          startedAtMs: 1000,
        });
        return previous;
      });
      property(seen);
    }),
    { numRuns: 1000 },
  );
};

describe("whatever happens", () => {
  test("the fraction never decreases, and is 1 only once done", () => {
    always((seen) => {
      let before = 0;
      let done = false;
      for (const { fraction, phase } of seen) {
        done ||= phase === "done";
        expect(fraction).toBeGreaterThanOrEqual(before);
        expect(fraction === 1).toBe(done);
        before = fraction;
      }
    });
  });

  test("an agent that restarts at any moment never shows less than the one before", () => {
    always((seen) => {
      for (const [index, before] of seen.entries()) {
        if (before.phase !== "copying" || before.fraction === 1) continue;
        const after = nextProgress(undefined, {
          phase: seen[index + 1]?.phase ?? "copying",
          settings: settingsOf(),
          nowMs: 0,
          startedAtMs: 0,
          fractionBound: fractionBound(before),
        });
        expect(after.fraction).toBeGreaterThanOrEqual(before.fraction);
      }
    });
  });

  test("the time left lies within its range, and both are finite", () => {
    always((seen) => {
      for (const { eta } of seen) {
        if (eta === undefined) continue;
        expect(eta.lowMs).toBeGreaterThanOrEqual(0);
        expect(eta.lowMs).toBeLessThanOrEqual(eta.ms);
        expect(eta.ms).toBeLessThanOrEqual(eta.highMs);
        expect(Number.isFinite(eta.highMs)).toBe(true);
      }
    });
  });

  test("what is shown has the published shape, and a sentence", () => {
    always((seen) => {
      for (const each of seen) {
        expect(progressShape.safeParse(each).error).toBeUndefined();
        expect(each.limit).toMatch(/^[A-Z].+\.$/);
        expect(each.limit).not.toMatch(/NaN|Infinity|undefined/);
      }
    });
  });
});

describe("the time left", () => {
  test("is absent before the first reading and over a link that moves nothing", () => {
    expect(shown("copying", undefined).eta).toBeUndefined();
    expect(shown("copying", viewOf([], { sendBytesPerSecond: 0 })).eta).toBeUndefined();
  });

  test("is absent while a guest that writes too much is copied without a rule that ends it", () => {
    const busy = viewOf([90, 90, 90], { dirtyBytesPerSecond: 300 * MiB });
    expect(shown("copying", busy).eta).toBeUndefined();
  });

  test("is there for the same guest as soon as something will end it", () => {
    const busy = viewOf([90, 90, 90], { dirtyBytesPerSecond: 300 * MiB });
    const at = (asked: z.input<typeof migrateSettings>): number | undefined =>
      shown("copying", busy, settingsOf(asked)).eta?.ms;
    expect(at({ timeoutMs: 10_000 })).toBe(7000);
    expect(at({ stopRules: { rounds: 5 } })).toBeCloseTo(1800, 0);
    expect(at({ stopRules: { bytesFactor: 1 } })).toBeCloseTo(7240, 0);
    expect(at({ adaptiveDowntimeCeilingMs: 2000 })).toBeCloseTo(950, 0);
    expect(at({ technique: "hybrid", switchRule: { when: "after-rounds", rounds: 4 } })).toBeCloseTo(1850, 0);
  });

  test("of a guest that writes half of what the link moves is the sum of halving rounds", () => {
    // 1 s, then 0.5 s, then a pause of 0.25 s, and the hand-over.
    const view = viewOf([100], { dirtyBytesPerSecond: 50 * MiB });
    expect(shown("copying", view).eta?.ms).toBeCloseTo(1800, 0);
  });

  test("has a wider range the more the rates were seen to swing", () => {
    const steady = viewOf([40, 40, 40]);
    const rounds = steady.rounds.map((round, index) => ({
      ...round,
      sendBytesPerSecond: round.sendBytesPerSecond * (index === 0 ? 0.5 : 1),
    }));
    const width = (view: CopyView): number => {
      const { eta } = shown("copying", view);
      return eta === undefined ? NaN : eta.highMs - eta.lowMs;
    };
    expect(width({ ...steady, rounds })).toBeGreaterThan(width(steady));
  });

  test("of a fetch is what remains over the link", () => {
    const view = viewOf([90], { remainingBytes: 200 * MiB });
    expect(shown("fetching", view).eta?.ms).toBeCloseTo(2050, 0);
  });
});

describe("the sentence says what limits it", () => {
  const busy = viewOf([90], { dirtyBytesPerSecond: 300 * MiB });

  test.each<readonly [string, PhaseName, CopyView | undefined, z.input<typeof migrateSettings>, RegExp]>([
    [
      "a guest that writes too fast",
      "copying",
      busy,
      {},
      /^The guest writes 300 MiB\/s, the link moves 100 MiB\/s: copying alone cannot end/,
    ],
    [
      "the cap",
      "copying",
      busy,
      { bandwidthBytesPerSecond: 105 * MiB },
      /the bandwidth cap allows 105 MiB\/s/,
    ],
    ["not a cap that is far away", "copying", busy, { bandwidthBytesPerSecond: 300 * MiB }, /the link moves/],
    [
      "a throttled guest",
      "copying",
      viewOf([9], { throttlePercent: 40 }),
      {},
      /its vCPUs slowed down by 40 %/,
    ],
    ["a dead link", "copying", viewOf([], { sendBytesPerSecond: 0 }), {}, /^Nothing moves/],
    ["the first round", "copying", viewOf([]), {}, /^First round/],
    ["a paused guest", "copying", viewOf([]), { technique: "stop-and-copy" }, /^The guest is paused/],
    ["a fetch", "fetching", viewOf([90]), {}, /90 MiB are still to fetch/],
    ["a lost link", "fetch-paused", undefined, {}, /link was lost/],
    [
      "a small set written fast is no obstacle",
      "copying",
      viewOf([9], { dirtyBytesPerSecond: 300 * MiB }),
      {},
      /MiB\/s\.$/,
    ],
  ])("%s", (_name, phase, view, asked, sentence) => {
    expect(shown(phase, view, settingsOf(asked)).limit).toMatch(sentence);
  });
});
