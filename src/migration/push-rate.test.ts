import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { firstPush, nextPush, PUSH_BYTES_PER_SECOND_MIN, PUSH_HELD_MS_MAX } from "./push-rate.ts";

const asked = fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 2 ** 34 }));
const readings = fc.array(fc.nat(500), { maxLength: 60 });
const speed = (push: number): number => (push === 0 ? Infinity : push);

function pushes(askedFor: number, requests: readonly number[]): number[] {
  let push = firstPush(askedFor);
  return requests.map((count, index) => (push = nextPush(push, askedFor, count, (index + 1) * 100)));
}

describe("the push of a fetch", () => {
  it("never exceeds what was asked for, and never slows down", () => {
    fc.assert(
      fc.property(asked, readings, (askedFor, requests) => {
        let before = speed(firstPush(askedFor));
        for (const push of pushes(askedFor, requests)) {
          expect(speed(push)).toBeLessThanOrEqual(speed(askedFor));
          expect(speed(push)).toBeGreaterThanOrEqual(before);
          before = speed(push);
        }
      }),
    );
  });

  it("is what was asked for after two seconds, however much the guest asks", () => {
    fc.assert(
      fc.property(asked, fc.nat(10_000), (askedFor, requests) => {
        expect(nextPush(firstPush(askedFor), askedFor, requests, PUSH_HELD_MS_MAX)).toBe(askedFor);
      }),
    );
  });

  it("waits while the guest asks for pages, and doubles when it has what it needs", () => {
    expect(nextPush(PUSH_BYTES_PER_SECOND_MIN, 0, 40, 100)).toBe(PUSH_BYTES_PER_SECOND_MIN);
    expect(nextPush(PUSH_BYTES_PER_SECOND_MIN, 0, 0, 100)).toBe(2 * PUSH_BYTES_PER_SECOND_MIN);
    expect(
      pushes(
        0,
        Array.from({ length: 12 }, () => 0),
      ).at(-1),
    ).toBe(0);
  });
});
