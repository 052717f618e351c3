/** Stores made from boot files: equal where the files are, and what a pair of relays makes of them. */
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { elfOf } from "../../test/fakes/packed.ts";
import { Arena, helloOf } from "../../test/relay/hostile.ts";
import { writeCpio } from "../lab/guest/cpio.ts";
import { PAGE_BYTES } from "../page/types.ts";
import type { Hello } from "../wire/hello.ts";
import { PageStore } from "../wire/store.ts";
import { makeBootStore } from "./boot-store.ts";
import { keptPrints, printOf } from "./kept-prints.ts";
import { KeptStore, NO_OFFER } from "./kept-store.ts";
import { openKernels } from "./kernels.ts";

let arena: Arena;
const at = (name: string): string => join(arena.dir, name);
beforeEach(() => {
  arena = new Arena();
  writeFileSync(at("kernel"), elfOf([page(1), page(2), page(1)].map((bytes) => new Uint8Array(bytes))));
  writeFileSync(at("initrd"), writeCpio([{ kind: "file", path: "init", data: page(3) }]));
});
afterEach(() => arena.close());

const page = (fill: number): Uint8Array => new Uint8Array(PAGE_BYTES).fill(fill);
const SLOTS = 16;
const kernels = openKernels({ pages: SLOTS + 1 });

const made = (file: string, slots = SLOTS): number =>
  makeBootStore({ kernel: at("kernel"), initrd: at("initrd"), file: at(file), slots });
const idOf = (file: string): string => readFileSync(at(file)).subarray(20, 28).toString("hex");

function opened(parts: { readonly file?: string; readonly bootFile?: string }) {
  const store = new PageStore(kernels, { base: PAGE_BYTES, slots: SLOTS });
  const { file, bootFile } = parts;
  const kept = new KeptStore({ file, bootFile, kernels, store, reset: () => store.reset(0n) });
  return { store, kept };
}

const hello = (more: Partial<Hello> = {}): Hello =>
  helloOf({ storeSlots: SLOTS, session: new Uint8Array(16).fill(3), ...more });

describe("a boot store", () => {
  it("holds each content once, of the kernel's segments and the files", () => {
    const count = made("boot");
    const prints = keptPrints(at("boot"), SLOTS);
    expect(prints.size).toBe(count);
    for (const fill of [1, 2, 3]) expect(prints.has(printOf(page(fill)))).toBe(true);
    expect(prints.has(printOf(page(4)))).toBe(false);
  });

  it("is the same for the same files, and has another id as soon as a byte differs", () => {
    for (const file of ["one", "other"]) made(file);
    expect(readFileSync(at("one")).equals(readFileSync(at("other")))).toBe(true);
    const before = idOf("one");
    writeFileSync(at("initrd"), writeCpio([{ kind: "file", path: "init", data: page(3).fill(4, 99, 100) }]));
    made("one");
    expect(idOf("one")).not.toBe(before);
  });

  it("leaves a quarter of the store to the guest, and is none where there is nothing to hold", () => {
    expect(made("small", 4)).toBe(3);
    for (const name of ["kernel", "initrd"]) writeFileSync(at(name), new Uint8Array(9_000));
    expect(made("none")).toBe(0);
    expect(existsSync(at("none"))).toBe(false);
  });
});

describe("a relay", () => {
  it("begins with it when it kept nothing, and the other has the same", async () => {
    const count = made("boot");
    const { store, kept } = opened({ file: at("kept"), bootFile: at("boot") });
    const offer = await kept.offer;
    expect(offer).toEqual({ store: NO_OFFER.store, boot: BigInt(`0x${idOf("boot")}`) });
    await kept.agree(hello(offer), hello(offer));
    expect([store.used, kept.pages, kept.bootPages, kept.note]).toEqual([
      count,
      0,
      count,
      "nothing was kept",
    ]);
  });

  it("begins with nothing where the other's files differ, or it has none", async () => {
    made("boot");
    for (const boot of [0n, 5n]) {
      const { store, kept } = opened({ bootFile: at("boot") });
      await kept.agree(hello(await kept.offer), hello({ boot }));
      expect([store.used, kept.bootPages, kept.note]).toEqual([0, 0, null]);
    }
  });

  it("prefers what was kept, and goes back to it when only one side kept something", async () => {
    const count = made("boot");
    const first = opened({ file: at("kept"), bootFile: at("boot") });
    const offer = await first.kept.offer;
    await first.kept.agree(hello(offer), hello(offer));
    const block = first.store.addBlock(0, 0, 100);
    kernels.bytes.set(page(77), 0);
    first.store.place(block, 0, 0);
    first.kept.keep();

    const next = opened({ file: at("kept"), bootFile: at("boot") });
    const both = await next.kept.offer;
    expect(both.boot).toBe(offer.boot);
    expect(both.store.id).not.toBe(0n);
    await next.kept.agree(hello(both), hello(both));
    expect([next.kept.pages, next.kept.bootPages]).toEqual([count + 1, 0]);

    const alone = opened({ file: at("kept"), bootFile: at("boot") });
    await alone.kept.agree(hello(await alone.kept.offer), hello(offer));
    expect([alone.store.used, alone.kept.pages, alone.kept.bootPages]).toEqual([count, 0, count]);
    expect(alone.kept.note).toBe("the other side kept another one");
  });

  it("takes a damaged one for none, and makes room for a new one", async () => {
    made("boot");
    const bytes = readFileSync(at("boot"));
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
    writeFileSync(at("boot"), bytes);
    const { store, kept } = opened({ bootFile: at("boot") });
    expect([await kept.offer, store.used, existsSync(at("boot"))]).toEqual([NO_OFFER, 0, false]);
  });

  it("fails rather than begin with less than it has offered", async () => {
    made("boot");
    const { store, kept } = opened({ file: at("kept"), bootFile: at("boot") });
    const offer = await kept.offer;
    await kept.agree(hello(offer), hello(offer));
    store.addBlock(0, 0, 1);
    kept.keep();
    const next = opened({ file: at("kept"), bootFile: at("boot") });
    const both = await next.kept.offer;
    rmSync(at("boot"));
    await expect(next.kept.agree(hello(both), hello(offer))).rejects.toMatchObject({ code: "TOOL_FAILED" });
  });
});
