/** Whatever guests write, the target's guests get bit for bit. */
import * as fc from "fast-check";
import { expect, test } from "vitest";

import { slowKernels } from "../../test/fakes/kernels.ts";
import {
  contentsOf,
  goOnWith,
  keptFile,
  ReceivingEnd,
  restoredPage,
  SendingEnd,
  sha256,
} from "../../test/fakes/wire-pair.ts";
import { PAGE_BYTES } from "../page/types.ts";
import { openKernels } from "../relay/kernels.ts";
import { Op, Phase } from "./batch.ts";

/** One memory per side for all runs: each reserves gigabytes of addresses, and is freed when it pleases V8. */
const MEMORY_PAGES = 700;
const [ours, theirs] = [openKernels({ pages: MEMORY_PAGES }), openKernels({ pages: MEMORY_PAGES })];
const KERNELS = {
  real: [() => ours, () => theirs],
  slow: [slowKernels, slowKernels],
} as const;

/** Few, so that the same page is met again and again. */
const PAGES = 7;
const BLOCKS = 2;
const VMS = 2;

/** Pseudo-random bytes of a seed: contents that no delta helps with. */
const noise = (seed: number): Uint8Array => {
  const bytes = new Uint8Array(PAGE_BYTES);
  let state = (seed + 1) * 2_654_435_761;
  for (let at = 0; at < PAGE_BYTES; at += 1) {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + at;
    bytes[at] = state >>> 11;
  }
  return bytes;
};

const place = { vm: fc.nat(VMS - 1), block: fc.nat(BLOCKS - 1), page: fc.nat(PAGES - 1) };

/** What happens to a guest; pages are sent as they are written, as by the dirty log's rounds. */
const happening = fc.oneof(
  { weight: 4, arbitrary: fc.record({ ...place, do: fc.constant("zero" as const) }) },
  { weight: 8, arbitrary: fc.record({ ...place, do: fc.constant("same" as const) }) },
  { weight: 10, arbitrary: fc.record({ ...place, do: fc.constant("noise" as const), seed: fc.nat(9) }) },
  {
    weight: 12,
    arbitrary: fc.record({
      ...place,
      do: fc.constant("patch" as const),
      at: fc.nat(PAGE_BYTES - 1),
      bytes: fc.uint8Array({ minLength: 1, maxLength: 200 }),
    }),
  },
  {
    weight: 12,
    arbitrary: fc.record({
      ...place,
      do: fc.constant("copy" as const),
      from: fc.record(place),
      at: fc.nat(40),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ ...place, do: fc.constant("discard" as const), count: fc.nat(PAGES) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("flush" as const) }) },
  { weight: 1, arbitrary: fc.record({ ...place, do: fc.constant("post-copy" as const) }) },
  { weight: 1, arbitrary: fc.record({ ...place, do: fc.constant("gone" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("reset" as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("kept" as const), swap: fc.boolean() }) },
);

/** Guests on both sides, and the wire between. */
class Table {
  sending: SendingEnd;
  receiving: ReceivingEnd;
  readonly source = Array.from({ length: VMS * BLOCKS * PAGES }, () => new Uint8Array(PAGE_BYTES));
  readonly target: (Uint8Array | undefined)[] = this.source.map(() => undefined);
  /** Pages the target's guest must have: sent, and not lost since. */
  readonly due = new Set<number>();
  readonly phases = Array.from({ length: VMS }, (): Phase => Phase.preCopy);
  readonly ops = new Set<number>();
  #vm = 0;
  readonly #begin: () => [SendingEnd, ReceivingEnd];

  constructor(slots: number, proofs: boolean, kind: keyof typeof KERNELS = "real") {
    this.#begin = () => {
      const sending = new SendingEnd(slots, KERNELS[kind][0]);
      if (proofs) sending.encoder.proveWith(sha256);
      return [sending, new ReceivingEnd(slots, KERNELS[kind][1])];
    };
    [this.sending, this.receiving] = this.#begin();
    for (let vm = 0; vm < VMS; vm += 1) this.addBlocks(vm);
  }

  /** Both relays end; two others go on with what they kept, each in its own role or in the other's. */
  kept(swap: boolean): void {
    this.flush();
    const files = [keptFile(this.sending, 5n), keptFile(this.receiving, 5n)] as const;
    expect(Buffer.compare(...files)).toBe(0);
    [this.sending, this.receiving] = this.#begin();
    goOnWith(this.sending, files[swap ? 1 : 0]);
    goOnWith(this.receiving, files[swap ? 0 : 1]);
    this.sending.encoder.remember(0, this.sending.store.used);
    for (let vm = 0; vm < VMS; vm += 1) this.addBlocks(vm);
    this.phases.fill(Phase.preCopy);
    lose(this, 0, VMS * BLOCKS * PAGES);
  }

  addBlocks(vm: number): void {
    for (let block = 0; block < BLOCKS; block += 1) {
      for (const { store } of [this.sending, this.receiving]) store.addBlock(vm, block, PAGES);
    }
  }

  index = (vm: number, block: number, page: number): number => (vm * BLOCKS + block) * PAGES + page;

  send(vm: number, block: number, page: number): void {
    if (vm !== this.#vm || this.sending.encoder.isFull) this.flush();
    this.#vm = vm;
    this.sending.encoder.begin(vm, this.phases[vm] ?? Phase.preCopy);
    this.due.add(this.index(vm, block, page));
    const content = this.source[this.index(vm, block, page)] ?? new Uint8Array(PAGE_BYTES);
    this.ops.add(this.sending.add(content, block, page));
  }

  flush(): void {
    const bytes = this.sending.take();
    if (bytes === undefined) return;
    const vm = this.#vm;
    const restored = this.receiving.decode(bytes, vm, this.phases[vm] ?? Phase.preCopy);
    for (let at = 0; at < restored.count; at += 1) {
      const index = this.index(vm, restored.blocks[at] ?? 0, restored.pages[at] ?? 0);
      this.target[index] = restoredPage(this.receiving, restored, at);
    }
    expect(contentsOf(this.receiving)).toBe(contentsOf(this.sending));
    expect(this.receiving.store.state).toEqual(this.sending.store.state);
  }

  check(): void {
    for (const index of this.due) {
      expect(this.target[index], `page ${index} was sent`).toBeDefined();
      expect(Buffer.compare(this.target[index] ?? noise(0), this.source[index] ?? noise(1))).toBe(0);
    }
  }
}

type Happening = typeof happening extends fc.Arbitrary<infer T> ? T : never;

function happen(table: Table, what: Happening): void {
  if (what.do === "flush") return table.flush();
  if (what.do === "kept") return table.kept(what.swap);
  if (what.do === "reset") {
    table.flush();
    table.sending.encoder.reset(7n);
    table.receiving.decoder.reset(7n);
    return;
  }
  const { vm, block } = what;
  const index = table.index(vm, block, what.page);
  const page = table.source[index] ?? new Uint8Array(PAGE_BYTES);
  switch (what.do) {
    case "zero":
      page.fill(0);
      break;
    case "same":
      break;
    case "noise":
      page.set(noise(what.seed));
      break;
    case "patch":
      page.set(what.bytes.subarray(0, PAGE_BYTES - what.at), what.at);
      break;
    case "copy":
      page.set(table.source[table.index(what.from.vm, what.from.block, what.from.page)] ?? page);
      page[what.at] = (page[what.at] ?? 0) ^ (what.at % 2);
      break;
    case "discard": {
      table.flush();
      const count = Math.min(what.count, PAGES - what.page);
      for (const { store } of [table.sending, table.receiving]) {
        const known = store.block(vm, block);
        if (known !== undefined) store.discard(known, what.page, count);
      }
      lose(table, index, count);
      return;
    }
    case "post-copy":
      table.flush();
      table.phases[vm] = Phase.postCopy;
      return;
    case "gone":
      // A cancelled migration, and a new one into a target with empty memory.
      table.flush();
      table.phases[vm] = Phase.preCopy;
      for (const { store } of [table.sending, table.receiving]) store.dropVm(vm);
      table.addBlocks(vm);
      lose(table, table.index(vm, 0, 0), BLOCKS * PAGES);
      return;
  }
  table.send(vm, block, what.page);
}

const lose = (table: Table, first: number, count: number): void => {
  table.target.fill(undefined, first, first + count);
  for (let index = first; index < first + count; index += 1) table.due.delete(index);
};

const run = (
  slots: number,
  proofs: boolean,
  kind: keyof typeof KERNELS,
  happenings: readonly Happening[],
): Table => {
  const table = new Table(slots, proofs, kind);
  for (const what of happenings) happen(table, what);
  table.flush();
  table.check();
  return table;
};

test.each([
  ["a store for everything", 64, false, "real"],
  ["a store of three pages", 3, false, "real"],
  ["a store of one page", 1, false, "real"],
  ["a store of three pages, and proofs of what left it", 3, true, "real"],
  ["a store for everything, slow kernels", 64, false, "slow"],
] as const)("any sequence of writes arrives bit for bit: %s", (_name, slots, proofs, kind) => {
  const seen = new Set<number>();
  fc.assert(
    fc.property(fc.array(happening, { minLength: 20, maxLength: 120, size: "max" }), (happenings) => {
      for (const op of run(slots, proofs, kind, happenings).ops) seen.add(op);
    }),
    { numRuns: kind === "slow" ? 40 : 150 },
  );
  // Else the property would say nothing about that operation.
  for (const op of Object.values(Op)) {
    expect([...seen]).toContain(op);
  }
});

const sent = (table: Table, page: number): number => {
  table.ops.clear();
  table.send(0, 0, page);
  table.flush();
  return [...table.ops][0] ?? 0;
};

const write = (table: Table, page: number, content: Uint8Array): void =>
  table.source[table.index(0, 0, page)]?.set(content);

test("each kind of page gets the operation meant for it", () => {
  const table = new Table(64, false);
  expect(sent(table, 0)).toBe(Op.zero);
  write(table, 0, noise(1));
  expect(sent(table, 0)).toBe(Op.literal);
  expect(sent(table, 0)).toBe(Op.unchanged);
  write(table, 0, noise(1).fill(7, 0, 9));
  expect(sent(table, 0)).toBe(Op.delta);
  write(table, 1, noise(1).fill(7, 0, 9));
  expect(sent(table, 1)).toBe(Op.duplicate);
  write(table, 2, noise(1).fill(8, 100, 300));
  expect(sent(table, 2)).toBe(Op.similar);
  write(table, 2, noise(1).fill(7, 0, 9));
  expect(sent(table, 2)).toBe(Op.duplicate);
  table.check();
});

test("a discarded page is sent again although its content did not change, and costs no payload", () => {
  const table = new Table(64, false);
  write(table, 0, noise(1));
  sent(table, 0);
  happen(table, { do: "discard", vm: 0, block: 0, page: 0, count: 1 });
  expect(sent(table, 0)).toBe(Op.duplicate);
  expect(sent(table, 0)).toBe(Op.unchanged);
});

test("in post-copy nothing is unchanged", () => {
  const table = new Table(64, false);
  write(table, 0, noise(1));
  sent(table, 0);
  happen(table, { do: "post-copy", vm: 0, block: 0, page: 0 });
  expect(sent(table, 0)).toBe(Op.duplicate);
});

test("an unchanged page whose version left the store is literal, and unchanged with proofs", () => {
  for (const [proofs, op] of [
    [false, Op.literal],
    [true, Op.unchanged],
  ] as const) {
    const table = new Table(2, proofs);
    for (let page = 0; page < 4; page += 1) {
      write(table, page, noise(page));
      sent(table, page);
    }
    expect(sent(table, 0)).toBe(op);
    write(table, 0, noise(9));
    expect(sent(table, 0)).toBe(Op.literal);
    table.check();
  }
});

test("a proof is of the version sent last, whichever way that was sent", () => {
  const table = new Table(2, true);
  write(table, 0, noise(0));
  sent(table, 0);
  for (const page of [1, 2, 3]) {
    write(table, page, noise(page));
    sent(table, page);
  }
  // As a duplicate of a slot that another page owns: when that leaves, nothing is proved of page 0.
  write(table, 0, noise(3));
  expect(sent(table, 0)).toBe(Op.duplicate);
  for (const page of [4, 5, 6]) {
    write(table, page, noise(page));
    sent(table, page);
  }
  write(table, 0, noise(0));
  expect(sent(table, 0)).toBe(Op.literal);
  table.check();
});

test("a guest that comes back costs what changed since, and its new versions take no further room", () => {
  const table = new Table(64, false);
  for (const page of [0, 1, 2]) {
    write(table, page, noise(page));
    expect(sent(table, page)).toBe(Op.literal);
  }
  table.kept(true);
  const known = table.sending.store.used;
  expect([sent(table, 0), sent(table, 1)]).toEqual([Op.duplicate, Op.duplicate]);
  expect(sent(table, 1)).toBe(Op.unchanged);
  write(table, 1, noise(1).fill(7, 0, 9));
  expect(sent(table, 1)).toBe(Op.delta);
  expect(table.sending.store.used).toBe(known);
  // A page that was written before it was sent again has no version of its own, but one that is near.
  write(table, 2, noise(2).fill(7, 0, 9));
  expect(sent(table, 2)).toBe(Op.similar);
  table.check();
});

test("a second guest refers to what the first one, which is gone, left; two that refer to one slot share it", () => {
  const table = new Table(64, false);
  write(table, 0, noise(1));
  sent(table, 0);
  table.kept(false);
  write(table, 1, noise(1));
  expect([sent(table, 0), sent(table, 1)]).toEqual([Op.duplicate, Op.duplicate]);
  write(table, 0, noise(1).fill(7, 0, 9));
  expect(sent(table, 0)).toBe(Op.delta);
  expect(sent(table, 1)).toBe(Op.unchanged);
  table.check();
});
