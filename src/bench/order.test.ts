import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { repetitions } from "./order.ts";

const arms = ["a", "b", "c", "d", "e", "f"];

describe("the order of a campaign", () => {
  it("runs every arm once per repetition, whatever the seed", () => {
    fc.assert(
      fc.property(fc.nat(2 ** 32 - 1), fc.integer({ min: 1, max: 9 }), (seed, runs) => {
        const order = repetitions(arms, runs, seed);
        expect(order).toHaveLength(runs);
        for (const one of order) expect([...one].sort()).toEqual(arms);
      }),
    );
  });

  it("is the same for the same seed and another for others", () => {
    expect(repetitions(arms, 4, 7)).toEqual(repetitions(arms, 4, 7));
    const seen = new Set(Array.from({ length: 20 }, (_, seed) => JSON.stringify(repetitions(arms, 2, seed))));
    expect(seen.size).toBeGreaterThan(15);
  });

  it("gives each arm every place: none is always first after the pause", () => {
    const first = new Set(repetitions(arms, 60, 1).map((one) => one[0]));
    expect([...first].toSorted((a, b) => (a ?? "").localeCompare(b ?? ""))).toEqual(arms);
  });
});
