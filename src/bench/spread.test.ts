import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { geometricMean, spreadOf } from "./spread.ts";

describe("a spread", () => {
  it("has its median between least and most, with as many below as above", () => {
    fc.assert(
      fc.property(fc.array(fc.integer(), { minLength: 1 }), (values) => {
        const spread = spreadOf(values);
        if (spread === null) throw new Error("values were given");
        expect(spread.min).toBe(Math.min(...values));
        expect(spread.max).toBe(Math.max(...values));
        const below = values.filter((value) => value < spread.median).length;
        const above = values.filter((value) => value > spread.median).length;
        expect(Math.abs(below - above)).toBeLessThanOrEqual(values.filter((v) => v === spread.median).length);
      }),
    );
  });

  it("leaves out what was not measured, and of nothing measured there is none", () => {
    expect(spreadOf([null, 4, 2])).toEqual({ median: 3, min: 2, max: 4, n: 2 });
    expect(spreadOf([null])).toBeNull();
    expect(spreadOf([])).toBeNull();
  });
});

describe("a geometric mean", () => {
  it("of a half and a double is one, and of nothing there is none", () => {
    expect(geometricMean([0.5, 2])).toBeCloseTo(1, 12);
    expect(geometricMean([])).toBeNull();
  });
});
