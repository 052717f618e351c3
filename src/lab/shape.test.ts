import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { shapeOf, shapingFault } from "./shape.ts";

const FRAME = 1514;
const rates = fc.integer({ min: 8 * 1024, max: 5e9 });

describe("a shaped link", () => {
  it("lets every frame pass: an offloaded one fits the bucket, the bucket fits the queue", () => {
    fc.assert(
      fc.property(rates, fc.integer({ min: 0, max: 2000 }), (rate, delayMs) => {
        const shape = shapeOf(rate, delayMs);
        expect(shape.gsoMaxBytes).toBeGreaterThanOrEqual(2 * FRAME);
        expect(shape.gsoMaxBytes * 2).toBeLessThanOrEqual(shape.burstBytes);
        expect(shape.queueBytes).toBeGreaterThanOrEqual(shape.burstBytes);
      }),
    );
  });

  it("keeps its burst to a few milliseconds once the rate is worth it", () => {
    fc.assert(
      fc.property(fc.integer({ min: 5e6, max: 5e9 }), (rate) => {
        expect(shapeOf(rate, 0).burstBytes / rate).toBeLessThan(0.0041);
      }),
    );
  });

  const shape = shapeOf(12_500_000, 0);
  const tbf = (rate: number): string =>
    JSON.stringify([
      { kind: "tbf", handle: "1:", root: true, options: { rate, burst: 50_000, lat: 15_729 }, bytes: 0 },
    ]);

  it("is believed when the kernel says the rate asked for, to a hundredth", () => {
    expect(shapingFault(tbf(12_500_000), shape)).toBe("");
    expect(shapingFault(tbf(12_400_000), shape)).toBe("");
    expect(shapingFault(tbf(1_250_000), shape)).toMatch(/1250000/);
    expect(shapingFault('[{"kind":"noqueue","root":true,"options":{}}]', shape)).toMatch(/noqueue/);
    expect(shapingFault("Error", shape)).toMatch(/unknown/);
  });
});
