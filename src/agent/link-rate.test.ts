import * as fc from "fast-check";
import { expect, test } from "vitest";

import { rateOf } from "./link-measure.ts";

const KIB = 1024;

test("a link's rate is not taken from a burst that a shaper let through at once, nor from one an agent was slow with", () => {
  // 100 Mbit/s: the first burst fits into the shaper's bucket, and a tiny call took as long.
  const bursts = [
    { bytes: 64 * KIB, ms: 1.5 },
    { bytes: 192 * KIB, ms: 15 },
    { bytes: 256 * KIB, ms: 21 },
    { bytes: 512 * KIB, ms: 71 },
    { bytes: 512 * KIB, ms: 43 },
  ];
  const mbit = (rateOf(bursts, 1.6) * 8) / 1e6;
  expect(mbit).toBeGreaterThan(80);
  expect(mbit).toBeLessThan(125);
});

test("whatever a round trip is said to take, the rate is at most twice what was seen, and known", () => {
  const burst = fc.record({
    bytes: fc.integer({ min: 1, max: 1e6 }),
    ms: fc.double({ min: 0.01, max: 2000, noNaN: true }),
  });
  fc.assert(
    fc.property(
      fc.array(burst, { minLength: 1, maxLength: 4 }),
      fc.double({ min: 0, max: 2000, noNaN: true }),
      (bursts, trip) => {
        const last = bursts.at(-1)?.bytes;
        const decisive = bursts.filter(({ bytes }) => bytes === last);
        const seen = Math.max(...decisive.map(({ bytes, ms }) => (bytes / ms) * 1000));
        const rate = rateOf(bursts, trip);
        expect(rate).toBeGreaterThanOrEqual(seen * 0.999);
        expect(rate).toBeLessThanOrEqual(seen * 2.001);
      },
    ),
  );
});
