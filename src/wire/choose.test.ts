/** The codec's controller on links that are only numbers. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import {
  chooseLevel,
  chooseLevelName,
  EXPECTED,
  firstLevelFor,
  LEVEL,
  LEVELS,
  rateOf,
  SAMPLES_NEEDED,
  type LevelName,
  type Sample,
} from "./choose.ts";

const MBIT = 125_000;

const sampleOf = (linkBytesPerSecond: number, cpuCores = 1, levels: Sample["levels"] = {}): Sample => ({
  linkBytesPerSecond,
  cpuCores,
  levels,
});

const settled = (sample: Sample, from: LevelName = "off"): LevelName => {
  let current = from;
  const samples: Sample[] = [];
  for (let asked = 0; asked < 20; asked += 1) {
    samples.push(sample);
    current = chooseLevelName({ current, samples });
  }
  return current;
};

describe("the choice that a steady link settles on", () => {
  test.each<readonly [string, Sample, LevelName]>([
    ["a slow link: the strongest", sampleOf(100 * MBIT), "zstd6"],
    ["1.5 Gbit/s with one core: what that core can do", sampleOf(1500 * MBIT), "zstd1"],
    ["10 Gbit/s with half a core: nothing", sampleOf(10_000 * MBIT, 0.5), "off"],
    ["no core to spare: nothing", sampleOf(100 * MBIT, 0), "off"],
    [
      "contents that do not compress: nothing",
      sampleOf(100 * MBIT, 1, {
        "zstd-3": { bytesPerCoreSecond: 2e9, ratio: 1 },
        "zstd-1": { bytesPerCoreSecond: 2e9, ratio: 1 },
        zstd1: { bytesPerCoreSecond: 1e9, ratio: 0.99 },
        zstd3: { bytesPerCoreSecond: 5e8, ratio: 0.98 },
        zstd6: { bytesPerCoreSecond: 2e8, ratio: 0.97 },
      }),
      "off",
    ],
    ["10 Gbit/s with four cores: a level that keeps up", sampleOf(10_000 * MBIT, 4), "zstd-3"],
    ["10 Gbit/s with six cores: a stronger one", sampleOf(10_000 * MBIT, 6), "zstd-1"],
  ])("%s", (_name, sample, want) => {
    expect(settled(sample)).toBe(want);
    expect(settled(sample, "zstd6")).toBe(want);
  });

  test("names codec and level for the relay", () => {
    const samples = Array.from({ length: SAMPLES_NEEDED }, () => sampleOf(100 * MBIT));
    expect(chooseLevel({ current: "off", samples })).toEqual({ codec: 1, level: 6 });
    expect(chooseLevel({ current: "off", samples: [] })).toEqual({ codec: 0, level: 0 });
  });
});

test("what a stronger level gains alone is not worth a change", () => {
  expect(settled(sampleOf(100 * MBIT), "zstd3")).toBe("zstd3");
});

test.each<readonly [number, LevelName]>([
  [10, "zstd6"],
  [100, "zstd3"],
  [1000, "zstd1"],
])("a link of %i Mbit/s begins with %s, which one processor keeps up with", (mbit, want) => {
  const name = firstLevelFor(mbit * MBIT);
  expect(name).toBe(want);
  expect(EXPECTED[name].bytesPerCoreSecond).toBeGreaterThan((mbit * MBIT) / EXPECTED[name].ratio);
});

test("one odd sample changes nothing", () => {
  const slow = sampleOf(100 * MBIT);
  const fast = sampleOf(40_000 * MBIT, 0.2);
  expect(chooseLevelName({ current: "zstd3", samples: [slow, slow, fast] })).toBe("zstd3");
  expect(chooseLevelName({ current: "zstd3", samples: [fast, fast] })).toBe("zstd3");
  expect(chooseLevelName({ current: "zstd3", samples: [slow, fast, fast, fast] })).toBe("off");
});

const anySample = fc.record({
  linkBytesPerSecond: fc.double({ min: 1e5, max: 5e9, noNaN: true }),
  cpuCores: fc.double({ min: 0, max: 16, noNaN: true }),
  levels: fc.constant({}),
});
const anyLevel = fc.constantFrom(...LEVELS);

test("on a steady link the choice stands still after one change", () => {
  fc.assert(
    fc.property(anySample, anyLevel, (sample, from) => {
      const first = settled(sample, from);
      expect(settled(sample, first)).toBe(first);
    }),
  );
});

test("noise of a few percent does not make it flap", () => {
  fc.assert(
    fc.property(
      anySample,
      anyLevel,
      fc.array(fc.double({ min: 0.99, max: 1.01, noNaN: true }), { maxLength: 60 }),
      (sample, from, noise) => {
        let current = from;
        let changes = 0;
        const samples: Sample[] = [];
        for (const factor of noise) {
          samples.push({ ...sample, linkBytesPerSecond: sample.linkBytesPerSecond * factor });
          const next = chooseLevelName({ current, samples });
          if (next !== current) changes += 1;
          current = next;
        }
        // Two: a first step that gains, and a second to a cheaper one nearly as fast.
        expect(changes).toBeLessThanOrEqual(2);
      },
    ),
    { numRuns: 500 },
  );
});

test("what is chosen is never clearly slower than what was", () => {
  fc.assert(
    fc.property(anySample, anyLevel, (sample, from) => {
      expect(rateOf(settled(sample, from), sample)).toBeGreaterThanOrEqual(rateOf(from, sample) * 0.9);
    }),
  );
});

test("any measurements at all give a level", () => {
  const number = fc.double({ min: 0, noNaN: true });
  const measure = fc.record({ bytesPerCoreSecond: number, ratio: number });
  const levels = fc.record({ zstd1: measure, zstd3: measure }, { requiredKeys: [] });
  const wild = fc.record({ linkBytesPerSecond: number, cpuCores: number, levels });
  fc.assert(
    fc.property(anyLevel, fc.array(wild, { maxLength: 5 }), (current, samples) => {
      expect(Object.values(LEVEL)).toContainEqual(chooseLevel({ current, samples }));
    }),
  );
});
