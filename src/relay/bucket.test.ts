import { array, assert, integer, property, record } from "fast-check";
import { expect, test } from "vitest";

import { SAVED_MS, TokenBucket } from "./bucket.ts";

test("without a cap nothing waits", () => {
  const bucket = new TokenBucket(null, 0);
  bucket.spend(1e12);
  expect(bucket.waitMs(0)).toBe(0);
});

test("whatever is sent when, no stretch of time carries more than the cap, one piece and what was saved", () => {
  const pieces = array(
    record({ bytes: integer({ min: 1, max: 65_536 }), idleMs: integer({ min: 0, max: 50 }) }),
    {
      minLength: 2,
    },
  );
  assert(
    property(pieces, integer({ min: 10_000, max: 10_000_000 }), (list, rate) => {
      const bucket = new TokenBucket(rate, 0);
      let now = 0;
      let sent = 0;
      for (const { bytes, idleMs } of list) {
        now += idleMs;
        now += bucket.waitMs(now);
        expect(bucket.waitMs(now)).toBe(0);
        bucket.spend(bytes);
        sent += bytes;
        expect(sent).toBeLessThanOrEqual((rate * now) / 1000 + (rate * SAVED_MS) / 1000 + 65_536);
      }
    }),
  );
});

test("what is received counts as well", () => {
  const bucket = new TokenBucket(1000, 0);
  bucket.spend(1000);
  expect(bucket.waitMs(0)).toBeGreaterThan(1000);
});

test("a new cap holds from now on, without what was saved under the old one", () => {
  const bucket = new TokenBucket(1e9, 0);
  bucket.waitMs(1000);
  bucket.setRate(1000, 1000);
  bucket.spend(1000);
  expect(bucket.waitMs(1000)).toBeGreaterThanOrEqual(1000);
  bucket.setRate(null, 1000);
  expect(bucket.waitMs(1000)).toBe(0);
});
