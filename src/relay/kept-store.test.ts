/** A page store's file: what it brings back, and that one which is not what was written brings nothing. */
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { Arena, helloOf } from "../../test/relay/hostile.ts";
import { type Kernels, PAGE_BYTES } from "../page/types.ts";
import { CodedError } from "../std/errors.ts";
import type { Hello } from "../wire/hello.ts";
import { KEPT_HEADER_BYTES } from "../wire/kept.ts";
import { PageStore } from "../wire/store.ts";
import { loadKeptFile } from "./kept-file.ts";
import { KeptStore, NO_OFFER } from "./kept-store.ts";
import { keptPrints, printOf } from "./kept-prints.ts";
import { openKernels } from "./kernels.ts";
import type { Held } from "./opened.ts";

let arena: Arena;
let file: string;
beforeEach(() => {
  arena = new Arena();
  file = join(arena.dir, "b.store");
});
afterEach(() => arena.close());

const SLOTS = 8;
const USED = 5;
const [one, other] = [openKernels({ pages: SLOTS + 1 }), openKernels({ pages: SLOTS + 1 })];

const hello = (more: Partial<Hello> = {}): Hello =>
  helloOf({ storeSlots: SLOTS, session: new Uint8Array(16).fill(3), ...more });

interface Tried {
  readonly store: PageStore;
  readonly kept: KeptStore;
  readonly filled: number[];
  readonly resets: () => number;
}

function opened(kernels = one, at: { readonly file?: string; readonly bootFile?: string } = { file }): Tried {
  return triedWith({ kernels, store: new PageStore(kernels, { base: PAGE_BYTES, slots: SLOTS }) }, at);
}

function triedWith(
  { kernels, store, held }: { readonly kernels: Kernels; readonly store: PageStore; readonly held?: Held },
  at: { readonly file?: string; readonly bootFile?: string },
): Tried {
  const filled: number[] = [];
  let resets = 0;
  const kept = new KeptStore({
    file: at.file,
    bootFile: at.bootFile,
    kernels,
    store,
    held,
    filled: (first, end) => filled.push(first, end),
    reset: () => {
      resets += 1;
      store.reset(0n);
    },
  });
  return { store, kept, filled, resets: () => resets };
}

async function written(): Promise<Uint8Array> {
  const { store, kept } = opened();
  await kept.offer;
  await kept.agree(hello(), hello());
  const block = store.addBlock(0, 0, 100);
  for (let page = 0; page < USED; page += 1) {
    one.bytes.fill(page + 1, 0, PAGE_BYTES);
    store.place(block, page, 0);
  }
  store.touch(2);
  kept.keep();
  // No Buffer: its slices are views.
  return new Uint8Array(readFileSync(file));
}

describe("prints", () => {
  it("tell what is in it to somebody who reads nothing else", async () => {
    await written();
    const prints = keptPrints(file, SLOTS);
    expect(prints.size).toBe(USED);
    const page = (fill: number): Uint8Array => new Uint8Array(PAGE_BYTES).fill(fill);
    for (let fill = 1; fill <= USED; fill += 1) expect(prints.has(printOf(page(fill)))).toBe(true);
    expect(prints.has(printOf(page(USED + 1)))).toBe(false);
  });

  it("are none where there is no file, or none for such a store", async () => {
    expect(keptPrints(file, SLOTS).size).toBe(0);
    const bytes = await written();
    expect(keptPrints(file, SLOTS + 1).size).toBe(0);
    writeFileSync(file, bytes.subarray(0, -1));
    expect(keptPrints(file, SLOTS).size).toBe(0);
  });
});

describe("a file", () => {
  it("brings back the contents and the state, for its owner's eyes alone, and nothing else is left beside it", async () => {
    await written();
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readdirSync(arena.dir)).toEqual(["b.store"]);
    other.bytes.fill(0);
    const { store, kept, filled } = opened(other);
    // 1 block, 5 pages, 1 touched, 1 guest dropped.
    expect(await kept.offer).toEqual({
      store: { id: 0x0303030303030303n, operations: 8n },
      boot: 0n,
    });
    expect([store.used, filled, kept.note]).toEqual([USED, [0, USED], null]);
    for (let slot = 0; slot < USED; slot += 1)
      expect(other.bytes[store.positionOf(slot) + 77]).toBe(slot + 1);
  });

  it("that is damaged anywhere is not used", async () => {
    const bytes = await written();
    // Each byte of header and flags, and some of the contents.
    const places = [...Array(40 + USED).keys(), 45, 46, 4_000, bytes.length - 1];
    for (const at of places) {
      const damaged = bytes.slice();
      damaged[at] = (damaged[at] ?? 0) ^ (1 << (at % 8));
      writeFileSync(file, damaged);
      const { store, kept, resets } = opened(other);
      expect(await kept.offer, `byte ${at}`).toEqual(NO_OFFER);
      // What a header says is looked at before the store is touched.
      const wasFilled = at >= KEPT_HEADER_BYTES || kept.note === "the file is damaged";
      expect([store.used, resets(), typeof kept.note], `byte ${at}`).toEqual([
        0,
        wasFilled ? 1 : 0,
        "string",
      ]);
    }
  });

  it("that ends too early or too late is not used", async () => {
    const bytes = await written();
    for (const length of [...Array(50).keys(), 4_141, bytes.length - 4_096, bytes.length - 1]) {
      writeFileSync(file, bytes.subarray(0, length));
      expect(await opened(other).kept.offer, `${length} bytes`).toEqual(NO_OFFER);
    }
    writeFileSync(file, Buffer.concat([bytes, Buffer.of(0)]));
    expect(await opened(other).kept.offer).toEqual(NO_OFFER);
  });

  it("that is none, or is not there, or may not be read, is said and does no harm", async () => {
    expect(opened().kept.note).toBeNull();
    const absent = opened();
    expect([await absent.kept.offer, absent.kept.note]).toEqual([NO_OFFER, "nothing was kept"]);
    mkdirSync(file);
    const folder = opened();
    expect([await folder.kept.offer, folder.kept.note]).toEqual([
      NO_OFFER,
      expect.stringContaining("EISDIR"),
    ]);
  });

  it("that cannot be written leaves the older one whole", async () => {
    const bytes = await written();
    const { kept } = opened();
    await kept.offer;
    await kept.agree(hello(), hello());
    mkdirSync(`${file}.${process.pid}.new`);
    expect(() => kept.keep()).toThrow();
    expect(Buffer.compare(readFileSync(file), bytes)).toBe(0);
  });

  it("is forgotten by an agreement that does not hold, and the store takes the smaller size", async () => {
    await written();
    const { store, kept } = opened(other);
    const { store: state } = await kept.offer;
    await kept.agree(hello({ store: state }), hello({ store: { ...state, operations: 9n } }));
    expect([store.used, store.state, kept.pages, kept.note]).toEqual([
      0,
      NO_OFFER.store,
      0,
      "the other side kept another one",
    ]);
    const smaller = opened(other);
    await kept.agree(hello({ ...(await smaller.kept.offer) }), hello({ store: state, storeSlots: 3 }));
    expect(store.slots).toBe(3);
  });

  it.each([
    ["LINK_LOST", {}, true],
    ["WIRE_DAMAGED", { what: "a batch of pages" }, false],
    ["WIRE_GARBAGE", { problem: "slot 3 is empty" }, false],
    ["PEER_REFUSED", { host: "b", why: "", peerCode: "WIRE_DAMAGED" }, false],
    ["PEER_REFUSED", { host: "b", why: "", peerCode: "QEMU_CLOSED" }, true],
  ] as const)("stays or goes after %s %j: %s", async (code, details, stays) => {
    await written();
    opened().kept.judge(new CodedError(code, details));
    expect(existsSync(file)).toBe(stays);
  });
});

describe("a store that was filled before", () => {
  /** As a relay that waits does it (opened.ts). */
  async function filledWith(from: string) {
    const store = new PageStore(other, { base: PAGE_BYTES, slots: SLOTS });
    const header = await loadKeptFile(from, { kernels: other, store });
    if (typeof header === "string") throw new Error(header);
    return { kernels: other, store, held: { file: from, header } };
  }
  const held = { id: 0x0303030303030303n, operations: 8n };

  it("is not filled again with what it holds", async () => {
    await written();
    const { store, kept, filled, resets } = triedWith(await filledWith(file), { file });
    expect((await kept.offer).store).toEqual(held);
    expect([store.used, filled, resets(), kept.note]).toEqual([USED, [], 0, null]);
    await kept.agree(hello({ store: held }), hello({ store: held }));
    expect(kept.pages).toBe(USED);
  });

  it("also when there was a file to be asked about first", async () => {
    await written();
    const before = await filledWith(file);
    const { kept, resets } = triedWith(before, { file: join(arena.dir, "none.store"), bootFile: file });
    expect(await kept.offer).toEqual({ store: NO_OFFER.store, boot: held.id });
    expect(resets()).toBe(0);
  });

  it("is filled anew where the file was written again meanwhile", async () => {
    const bytes = await written();
    const before = await filledWith(file);
    const { store: again, kept: next } = opened();
    await next.offer;
    await next.agree(hello(), hello({ session: new Uint8Array(16).fill(9) }));
    again.touch(0);
    next.keep();
    expect(Buffer.compare(readFileSync(file), bytes)).not.toBe(0);
    const { kept, filled, resets } = triedWith(before, { file });
    expect((await kept.offer).store).toEqual(again.state);
    expect([resets(), filled]).toEqual([1, again.used === 0 ? [] : [0, again.used]]);
  });

  it.each([
    ["no file", () => ({})],
    ["a file that is not there", () => ({ file: join(arena.dir, "none.store") })],
  ])("is emptied where the migration has %s", async (_what, at) => {
    await written();
    const { store, kept, resets } = triedWith(await filledWith(file), at());
    expect(await kept.offer).toEqual(NO_OFFER);
    expect([store.used, resets()]).toEqual([0, 1]);
  });

  it("is left where it is when it is no longer wanted", async () => {
    await written();
    const store = new PageStore(other, { base: PAGE_BYTES, slots: SLOTS });
    const signal = AbortSignal.abort();
    expect(await loadKeptFile(file, { kernels: other, store, signal })).toBe("it is no longer wanted");
  });
});
