/** What is seen of a memory that changes, in a process of our own: a mapping of the size of a guest's RAM. */
import { expect, test } from "vitest";

import { MemoryLooks } from "./memory-change.ts";

const PAGE_BYTES = 4096;
const MIB = 2 ** 20;
const RAM_MIB = 37;

const here = { pid: process.pid, ramBytes: RAM_MIB * MIB };

/** V8 maps a WebAssembly memory by itself, as QEMU does a guest's RAM. */
const wasmPages = (RAM_MIB * MIB) / 65_536;
const ram = new Uint8Array(new WebAssembly.Memory({ initial: wasmPages, maximum: wasmPages }).buffer);
const write = (page: number, byte: number): void => {
  ram.fill(byte, page * PAGE_BYTES, page * PAGE_BYTES + 64);
};
const PAGES = ram.byteLength / PAGE_BYTES;

test("as many pages have changed as were written, by their share of the memory", () => {
  for (let page = 0; page < PAGES; page += 1) write(page, 1);
  const looks = new MemoryLooks(here);
  expect(looks.change()).toMatchObject({ pages: 1024, changedPages: 0, compressedShare: null });
  for (let page = 0; page < PAGES; page += 4) write(page, 2);
  const change = looks.change();
  expect((change?.changedPages ?? 0) / 1024).toBeCloseTo(0.25, 1);
  expect(change?.ms).toBeGreaterThan(0);
  // 64 bytes of one value in a page of zeros.
  expect(change?.compressedShare).toBeLessThan(0.1);
});

test("pages that do not compress are known as such", () => {
  const looks = new MemoryLooks(here);
  let word = 1;
  for (let at = 0; at < ram.byteLength; at += 1) {
    word = (Math.imul(word, 1_664_525) + 1_013_904_223) >>> 0;
    ram[at] = word >>> 24;
  }
  const change = looks.change();
  expect(change?.changedPages).toBeGreaterThan(1020);
  expect(change?.compressedShare).toBeGreaterThan(0.95);
});

test("of a process that has ended nothing is seen", () => {
  expect(new MemoryLooks({ ...here, pid: 2 ** 22 + 1 }).change()).toBeUndefined();
});
