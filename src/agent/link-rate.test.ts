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

test("what a shaper's bucket let through at once is no rate", () => {
  // 1 Gbit/s behind a bucket of 500 kB and a round trip of 1 ms; each size once disturbed.
  const took = (bytes: number): number => 1 + Math.max(0, bytes - 500_000) / 125_000;
  const bursts = [1024, 2048, 1024, 2048].map((kib, at) => ({
    bytes: kib * KIB,
    ms: took(kib * KIB) + (at === 0 || at === 3 ? 6 : 0),
  }));
  const mbit = (rateOf(bursts, 1) * 8) / 1e6;
  expect(mbit).toBeGreaterThan(950);
  expect(mbit).toBeLessThan(1050);
});

test("whatever a round trip is said to take, the rate is between half and twice what was seen", () => {
  const burst = fc.record({
    bytes: fc.integer({ min: 1, max: 1e6 }),
    ms: fc.double({ min: 0.01, max: 2000, noNaN: true }),
  });
  fc.assert(
    fc.property(
      fc.array(burst, { minLength: 1, maxLength: 4 }),
      fc.double({ min: 0, max: 2000, noNaN: true }),
      (bursts, trip) => {
        const last = [...new Set(bursts.map(({ bytes }) => bytes))].at(-1);
        const decisive = bursts.filter(({ bytes }) => bytes === last);
        const seen = Math.max(...decisive.map(({ bytes, ms }) => (bytes / ms) * 1000));
        const rate = rateOf(bursts, trip);
        expect(rate).toBeGreaterThanOrEqual(seen * 0.499);
        expect(rate).toBeLessThanOrEqual(seen * 2.001);
      },
    ),
  );
});
