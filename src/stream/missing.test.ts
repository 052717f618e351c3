import * as fc from "fast-check";
import { expect, test } from "vitest";

import { MissingPages } from "./missing.ts";

const PAGE = 4096;
const blocks = (...pages: number[]) =>
  pages.map((count, index) => ({ name: `b${index}`, usedBytes: count * PAGE }));

test("a new target misses every page, and each is taken exactly once", () => {
  const missing = new MissingPages(blocks(33, 5), PAGE);
  expect(missing.count).toBe(38);
  expect(missing.take(0, 32)).toBe(true);
  expect(missing.take(0, 32)).toBe(false);
  expect([missing.count, missing.countOf(0), missing.countOf(1)]).toEqual([37, 32, 5]);
  expect([missing.has(0, 32), missing.has(0, 31), missing.has(0, 33)]).toEqual([false, true, false]);
  expect(missing.take(0, 33)).toBe(false);
});

test("a range is of whole pages and within its block", () => {
  const missing = new MissingPages(blocks(4), PAGE);
  for (const range of [
    { start: 1, length: PAGE },
    { start: 0, length: 100 },
    { start: PAGE, length: 4 * PAGE },
  ]) {
    expect(() => missing.discard(0, [range])).toThrow("whole pages");
  }
  expect(() => missing.replace(0, new Uint8Array())).toThrow("bitmap of 4 pages");
});

type Step =
  | { readonly kind: "take"; readonly page: number }
  | { readonly kind: "discard"; readonly from: number; readonly count: number }
  | { readonly kind: "replace"; readonly received: Uint8Array };

const COUNT = 77;
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 8, arbitrary: fc.record({ kind: fc.constant("take" as const), page: fc.nat(COUNT - 1) }) },
    fc.record({
      kind: fc.constant("discard" as const),
      from: fc.nat(COUNT - 1),
      count: fc.integer({ min: 1, max: COUNT }),
    }),
    fc.record({
      kind: fc.constant("replace" as const),
      received: fc.uint8Array({ minLength: 16, maxLength: 16 }),
    }),
  ),
  { maxLength: 60 },
);

test("it is the set that a plain Set would be", () => {
  fc.assert(
    fc.property(steps, (all) => {
      const missing = new MissingPages(blocks(3, COUNT), PAGE);
      const twin = new Set(Array.from({ length: COUNT }, (_, page) => page));
      for (const step of all) {
        if (step.kind === "take") {
          expect(missing.take(1, step.page)).toBe(twin.delete(step.page));
        } else if (step.kind === "discard") {
          const count = Math.min(step.count, COUNT - step.from);
          missing.discard(1, [{ start: step.from * PAGE, length: count * PAGE }]);
          for (let page = step.from; page < step.from + count; page += 1) twin.add(page);
        } else {
          missing.replace(1, step.received);
          for (let page = 0; page < COUNT; page += 1) {
            const isReceived = (((step.received[page >>> 3] ?? 0) >>> (page & 7)) & 1) === 1;
            if (isReceived) twin.delete(page);
            else twin.add(page);
          }
        }
        expect(missing.countOf(1)).toBe(twin.size);
        expect(missing.count).toBe(twin.size + 3);
      }
      const walked: number[] = [];
      for (let page = missing.next(1, 0); page !== undefined; page = missing.next(1, page + 1))
        walked.push(page);
      expect(walked).toEqual([...twin].sort((a, b) => a - b));
    }),
  );
});
