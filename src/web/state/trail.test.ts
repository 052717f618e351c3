import * as fc from "fast-check";
import { expect, test } from "vitest";

import { PHASES } from "../../api/migration.ts";
import { progressOf } from "../../../test/fakes/fixtures.ts";
import { addReading, READINGS_MAX, SPACING_MS, type Trail } from "./trail.ts";

const trailOf = (readings: readonly Parameters<typeof progressOf>[0][]): Trail =>
  readings.map(progressOf).reduce<Trail>(addReading, []);

test("a trail never grows above its limit and never goes back in time, whatever comes", () => {
  const reading = fc.record({
    elapsedMs: fc.nat(1_000_000),
    round: fc.nat(3),
    phase: fc.constantFrom(...PHASES),
  });
  fc.assert(
    fc.property(fc.array(reading, { maxLength: 300 }), (readings) => {
      const trail = trailOf(readings);
      const times = trail.map((one) => one.elapsedMs);
      expect(times).toEqual(times.toSorted((a, b) => a - b));
    }),
  );
  const long = trailOf(
    Array.from({ length: 3 * READINGS_MAX }, (_, n) => ({ elapsedMs: n * 500, round: 1 })),
  );
  expect(long.length).toBeLessThanOrEqual(READINGS_MAX);
  expect(long[0]?.elapsedMs).toBe(0);
  expect(long.at(-1)?.elapsedMs).toBe((3 * READINGS_MAX - 1) * 500);
});

test("every round and every phase is still to be seen after thinning", () => {
  const rounds = 40;
  const trail = trailOf(
    Array.from({ length: 4 * READINGS_MAX }, (_, n) => ({
      elapsedMs: n * 300,
      round: Math.floor((n * rounds) / (4 * READINGS_MAX)),
    })),
  );
  expect(new Set(trail.map((one) => one.round)).size).toBe(rounds);
});

test("ten readings a second become at most one per spacing, and the newest is always there", () => {
  const trail = trailOf(Array.from({ length: 100 }, (_, n) => ({ elapsedMs: n * 100 })));
  expect(trail.length).toBeLessThanOrEqual(2 + 9_900 / SPACING_MS);
  expect(trail.at(-1)?.elapsedMs).toBe(9_900);
});

test("a change of phase is kept, however close it follows", () => {
  const trail = trailOf([
    { elapsedMs: 0, phase: "copying" },
    { elapsedMs: 1, phase: "switching" },
    { elapsedMs: 2, phase: "handing-over" },
    { elapsedMs: 3, phase: "done" },
  ]);
  expect(trail.map((one) => one.phase)).toEqual(["copying", "switching", "handing-over", "done"]);
});
