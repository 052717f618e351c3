import * as fc from "fast-check";
import { expect, test } from "vitest";

import { checkTicker, PAGE_BYTES, tickerImage } from "./ticker.ts";

const PAGES = 16;

/** Memory of a ticker that stands before page `at`, having finished `passes` passes. */
function memoryAt(passes: number, at: number): DataView {
  const view = new DataView(new ArrayBuffer(PAGES * PAGE_BYTES));
  for (let page = 0; page < PAGES; page += 1) {
    const counter = page < at ? passes + 1 : passes;
    view.setUint32(page * PAGE_BYTES, counter, true);
    view.setUint32(page * PAGE_BYTES + 4, counter === 0 ? 0 : page, true);
  }
  return view;
}
const judge = (view: DataView) => checkTicker(new Uint8Array(view.buffer), { pages: PAGES });
const stands = fc.record({ passes: fc.nat(1e6), at: fc.integer({ min: 1, max: PAGES - 1 }) });
const page = fc.nat(PAGES - 1);

test("memory is whole wherever the walk stands", () => {
  fc.assert(
    fc.property(stands, ({ passes, at }) => {
      expect(judge(memoryAt(passes, at))).toMatchObject({ ok: true, passes });
    }),
  );
});

test("a page that lost two updates, or was updated from nowhere, is found", () => {
  fc.assert(
    fc.property(stands, page, fc.constantFrom(-2, 2), ({ passes, at }, victim, change) => {
      const view = memoryAt(passes + 2, at);
      const offset = victim * PAGE_BYTES;
      view.setUint32(offset, view.getUint32(offset, true) + change, true);
      expect(judge(view).ok).toBe(false);
    }),
  );
});

test("a page in another page's place is found, also if its counter fits", () => {
  fc.assert(
    fc.property(stands, page, page, ({ passes, at }, from, to) => {
      fc.pre(from !== to);
      const view = memoryAt(passes + 1, at);
      view.setUint32(to * PAGE_BYTES + 4, from, true);
      expect(judge(view).ok).toBe(false);
    }),
  );
});

test("one page left at its older content is found, unless it is where the walk stands", () => {
  const at = 5;
  for (let victim = 0; victim < PAGES; victim += 1) {
    const view = memoryAt(7, at);
    view.setUint32(victim * PAGE_BYTES, view.getUint32(victim * PAGE_BYTES, true) - 1, true);
    // One back at the step looks like a walk one page behind; one back on the last page makes a second step.
    expect(judge(view).ok).toBe(victim === at - 1);
  }
});

test("a guest that never walked, and a dump of the wrong size, are not taken for whole", () => {
  expect(judge(memoryAt(0, 0)).ok).toBe(false);
  expect(checkTicker(new Uint8Array(5), { pages: PAGES }).ok).toBe(false);
});

test("the image is a multiboot image that says itself where it goes", () => {
  const image = tickerImage();
  const view = new DataView(image.buffer);
  const [magic, flags, checksum] = [
    view.getUint32(0, true),
    view.getUint32(4, true),
    view.getUint32(8, true),
  ];
  expect(magic).toBe(0x1bad_b002);
  expect((magic + flags + checksum) % 2 ** 32).toBe(0);
  expect(view.getUint32(20, true) - view.getUint32(16, true)).toBe(image.length);
});
