/** Pages are counted once, and the report's names mean what docs/wire.md says. */
import { expect, test } from "vitest";

import { PAGE_BYTES } from "../page/types.ts";
import { OPS } from "./batch.ts";
import { guestBytes, noPages, PAGE_CLASSES, PageTally, reportPages, sumOf } from "./counters.ts";

/** n pages of operation n. */
const tally = (): PageTally => {
  const counts = new PageTally();
  for (const op of OPS) for (let page = 0; page < op; page += 1) counts.add(op, op * 10);
  return counts;
};

test("each operation is counted under its name, with its bytes", () => {
  const counters = tally().counters();
  expect(PAGE_CLASSES.map((name) => counters[name].pages)).toEqual([1, 2, 3, 4, 5, 6]);
  expect(counters.literal).toEqual({ pages: 6, payloadBytes: 360 });
  expect(JSON.parse(JSON.stringify(counters))).toEqual(counters);
});

test("the report's pages add up to those that QEMU sent", () => {
  const plain = tally().counters();
  const pages = reportPages(plain, plain);
  expect(pages).toEqual({
    zero: 2,
    raw: 6,
    compressed: 6,
    delta: 6,
    duplicate: 8,
    unchanged: 4,
    referenced: 10,
  });
  const total = Object.values(pages).reduce((sum, count) => sum + count, 0);
  expect(total * PAGE_BYTES).toBe(guestBytes(sumOf(plain, plain)));
});

test("nothing sent is zero of each", () => {
  expect(guestBytes(noPages())).toBe(0);
  const counts = tally();
  counts.clear();
  expect(counts.counters()).toEqual(noPages());
});
