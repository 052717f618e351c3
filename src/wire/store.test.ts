/** Two stores that are told the same do the same; nothing ever means a content that left. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { slowKernels } from "../../test/fakes/kernels.ts";
import { PAGE_BYTES } from "../page/types.ts";
import { GuestBlock } from "./guest-map.ts";
import { BLOCK_PAGES_MAX, BLOCKS_MAX, VMS_MAX } from "./limits.ts";
import { PageStore } from "./store.ts";

const PAGES = 20;
const CONTENTS = 8;

class Side {
  readonly kernels;
  readonly store: PageStore;
  /** What each slot was last given, by its content's number. */
  readonly model = new Map<number, number>();

  constructor(slots: number) {
    this.kernels = slowKernels((slots + CONTENTS) * PAGE_BYTES);
    for (let content = 0; content < CONTENTS; content += 1) {
      this.kernels.bytes.fill(content + 1, content * PAGE_BYTES, (content + 1) * PAGE_BYTES);
    }
    this.store = new PageStore(this.kernels, { base: CONTENTS * PAGE_BYTES, slots });
    this.store.addBlock(0, 0, PAGES);
  }

  get block(): GuestBlock {
    return this.store.addBlock(0, 0, PAGES);
  }

  contentAt(slot: number): number {
    return (this.kernels.bytes[this.store.positionOf(slot)] ?? 0) - 1;
  }

  do(step: Step): void {
    const { store, block } = this;
    switch (step.do) {
      case "place":
        store.place(block, step.page, step.number * PAGE_BYTES);
        break;
      case "refer":
        if (store.holds(step.number)) store.refer(block, step.page, step.number);
        break;
      case "touch":
        if (store.holds(step.number)) store.touch(step.number);
        break;
      case "zero":
        store.zeroed(block, step.page);
        break;
      case "unchanged":
        store.unchanged(block, step.page);
        break;
      case "discard":
        store.discard(block, step.page, Math.min(step.number, PAGES - step.page));
        break;
      case "drop":
        store.dropVm(0);
        break;
    }
  }

  get picture(): unknown {
    return {
      state: this.store.state,
      bytes: Buffer.from(this.kernels.bytes).toString("base64"),
      slots: Array.from({ length: PAGES }, (_, page) => this.store.slotOf(this.block, page)),
      current: Array.from({ length: PAGES }, (_, page) => this.block.isCurrent(page)),
    };
  }
}

const step = fc.record({
  do: fc.constantFrom("place", "place", "place", "refer", "touch", "zero", "unchanged", "discard", "drop"),
  page: fc.nat(PAGES - 1),
  number: fc.nat(CONTENTS - 1),
});
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

test("two stores with the same operations hold the same in the same slots", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 6 }), fc.array(step, { maxLength: 60 }), (slots, steps) => {
      const [one, other] = [new Side(slots), new Side(slots)];
      // A listener is the sender's own affair.
      other.store.onEvict(() => {});
      for (const what of steps) for (const side of [one, other]) side.do(what);
      expect(other.picture).toEqual(one.picture);
    }),
    { numRuns: 200 },
  );
});

test("a page's slot holds what that page was last stored as, or there is none", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 6 }), fc.array(step, { maxLength: 80 }), (slots, steps) => {
      const side = new Side(slots);
      const last = new Map<number, number>();
      for (const what of steps) {
        if (what.do === "place") last.set(what.page, what.number);
        if (what.do === "refer" && side.store.holds(what.number)) {
          last.set(what.page, side.contentAt(what.number));
        }
        if (what.do === "drop") last.clear();
        side.do(what);
        for (let page = 0; page < PAGES; page += 1) {
          const slot = side.store.slotOf(side.block, page);
          if (slot >= 0) expect(side.contentAt(slot)).toBe(last.get(page));
        }
      }
    }),
    { numRuns: 200 },
  );
});

test("a store that goes on from what another one kept does what that one would have done", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 6 }),
      fc.array(step, { maxLength: 40 }),
      fc.array(step, { maxLength: 40 }),
      (slots, before, after) => {
        const [one, other] = [new Side(slots), new Side(slots)];
        for (const what of before) one.do(what);
        const kept = one.store.keep(3n);
        other.kernels.bytes.set(one.kernels.bytes);
        other.store.restore(kept);
        for (const what of after) for (const side of [one, other]) side.do(what);
        expect(other.picture).toEqual(one.picture);
      },
    ),
    { numRuns: 300 },
  );
});

/** A guest's pages one after the other, each with a content of its own; how many of them were there. */
function scan(store: PageStore, kernels: Side["kernels"], pages: number): number {
  const block = store.addBlock(0, 0, pages);
  let found = 0;
  for (let page = 0; page < pages; page += 1) {
    const slots = [...Array(store.used).keys()];
    const slot = slots.find((at) => kernels.bytes[store.positionOf(at)] === page + 1);
    kernels.bytes.fill(page + 1, 0, PAGE_BYTES);
    if (slot === undefined) store.place(block, page, 0);
    else store.refer(block, page, slot);
    found += slot === undefined ? 0 : 1;
  }
  return found;
}

test("a guest larger than the store finds most of what there was room for when it comes back, again and again", () => {
  const [slots, pages] = [90, 120];
  const kernels = slowKernels((slots + 1) * PAGE_BYTES);
  const store = new PageStore(kernels, { base: PAGE_BYTES, slots });
  expect(scan(store, kernels, pages)).toBe(0);
  for (let times = 0; times < 4; times += 1) {
    store.keep(1n);
    expect(scan(store, kernels, pages)).toBeGreaterThan(0.8 * slots);
  }
});

test("what was kept gives way to a guest that has no use for it, and after a second one it is not guarded", () => {
  const slots = 40;
  const kernels = slowKernels((slots + 1) * PAGE_BYTES);
  const store = new PageStore(kernels, { base: PAGE_BYTES, slots });
  const place = (first: number, count: number): void => {
    const block = store.addBlock(0, 0, 1000);
    for (let page = first; page < first + count; page += 1) {
      kernels.bytes.fill(page < slots ? 1 : 2, 0, PAGE_BYTES);
      store.place(block, page, 0);
    }
  };
  const left = (): number =>
    [...Array(slots).keys()].filter((slot) => kernels.bytes[store.positionOf(slot)] === 1).length;
  place(0, slots);
  store.keep(1n);
  place(100, slots);
  // One at the beginning, when there is no other, then every fourth.
  expect(left()).toBe(slots - slots / 4 - 1);
  store.keep(2n);
  // Now three of four go to what was left.
  place(200, 28);
  expect(left()).toBe(slots - slots / 4 - 1 - 21);
});

test("of what was kept, what was used once goes before what nobody asked for yet and what was used twice", () => {
  const slots = 12;
  const kernels = slowKernels((slots + 1) * PAGE_BYTES);
  const store = new PageStore(kernels, { base: PAGE_BYTES, slots });
  const first = store.addBlock(0, 0, 1000);
  for (let page = 0; page < slots; page += 1) store.place(first, page, 0);
  store.keep(1n);
  const again = store.addBlock(0, 0, 1000);
  const [twice, once] = [
    [0, 1],
    [2, 3, 4, 5, 6, 7],
  ];
  for (const slot of [...twice, ...once, ...twice]) store.refer(again, slot, slot);
  for (let page = 100; page < 103; page += 1) store.place(again, page, 0);
  const had = (slot: number): boolean => store.slotOf(again, slot) === slot;
  expect([once.filter(had).length, twice.filter(had).length]).toEqual([3, 2]);
});

test("what was used survives what was only stored", () => {
  const { store, block } = new Side(3);
  const kept = store.place(block, 0, 0);
  store.touch(kept);
  for (let page = 1; page < 4; page += 1) store.place(block, page, page * PAGE_BYTES);
  expect(store.slotOf(block, 0)).toBe(kept);
  expect(store.slotOf(block, 1)).toBe(-1);
});

test("a new version takes the place of the old one, unless another page refers to that", () => {
  const side = new Side(4);
  const { store, block } = side;
  const slot = store.place(block, 0, 0);
  expect(store.place(block, 0, PAGE_BYTES)).toBe(slot);
  store.refer(block, 1, slot);
  expect(store.place(block, 0, 2 * PAGE_BYTES)).not.toBe(slot);
  expect(side.contentAt(store.slotOf(block, 1))).toBe(1);
});

test("after a reset nothing is known, and the id is the new one", () => {
  const { store, block } = new Side(2);
  store.place(block, 0, 0);
  store.reset(9n);
  expect(store.state).toEqual({ id: 9n, operations: 0n });
  expect([store.slotOf(block, 0), block.isCurrent(0), store.holds(0)]).toEqual([-1, false, false]);
});

test("blocks beyond the limits, and blocks that change their size, are refused", () => {
  const { store } = new Side(2);
  expect(() => store.addBlock(VMS_MAX, 0, 1)).toThrow("beyond");
  expect(() => store.addBlock(0, BLOCKS_MAX, 1)).toThrow("beyond");
  expect(() => store.addBlock(0, 0, PAGES + 1)).toThrow("now has");
  for (const pages of [0, -1, 0.5, BLOCK_PAGES_MAX + 1]) {
    expect(() => store.addBlock(0, 1, pages)).toThrow("cannot be");
  }
  const block = store.addBlock(0, 0, PAGES);
  for (const [first, count] of [
    [0, PAGES + 1],
    [-1, 1],
    [PAGES, 1],
  ] as const) {
    expect(() => store.discard(block, first, count)).toThrow("leaves");
  }
});

describe("the map of a block", () => {
  test("costs nothing for pages that were never sent, however large it says it is", () => {
    const block = new GuestBlock(BLOCK_PAGES_MAX);
    block.setOutdated(0, BLOCK_PAGES_MAX);
    block.setStored(BLOCK_PAGES_MAX - 1, 5, 6);
    expect(block.slotAt(BLOCK_PAGES_MAX - 1)).toBe(5);
    expect(block.slotAt(0)).toBe(-1);
  });

  test("outdates exactly the pages named, across its pieces", () => {
    fc.assert(
      fc.property(fc.nat(30_000), fc.nat(30_000), (first, count) => {
        const block = new GuestBlock(30_000);
        const near = [first - 1, first, first + count - 1, first + count].filter(
          (page) => page >= 0 && page < 30_000,
        );
        for (const page of near) block.setStored(page, 1, 1);
        block.setOutdated(first, count);
        for (const page of near) {
          expect(block.isCurrent(page)).toBe(page < first || page >= first + count);
          expect(block.slotAt(page)).toBe(1);
        }
      }),
    );
  });

  test("forgets a proof with the next version, however that is stored", () => {
    const block = new GuestBlock(10);
    const proof = new Uint8Array(16).fill(3);
    block.setStored(4, 1, 1);
    block.setProof(4, proof);
    expect(block.isProved(4, proof)).toBe(true);
    expect(block.isProved(4, new Uint8Array(16))).toBe(false);
    block.setStored(4, 1, 1);
    expect(block.isProved(4, proof)).toBe(false);
    block.setProof(4, proof);
    block.setOutdated(4);
    expect(block.isProved(4, proof)).toBe(false);
  });
});
