/** What is known of guests before anybody asks, with a memory of our own in place of theirs. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { type Guest, GuestBook } from "./guest-book.ts";

const PAGE_BYTES = 4096;
const MIB = 2 ** 20;
const RAM_MIB = 41;
const MINUTE_MS = 60_000;

/** V8 maps a WebAssembly memory by itself, as QEMU does a guest's RAM. */
const wasmPages = (RAM_MIB * MIB) / 65_536;
const ram = new Uint8Array(new WebAssembly.Memory({ initial: wasmPages, maximum: wasmPages }).buffer);
const writeEach = (pages: number, byte: number): void => {
  for (let at = 0; at < ram.byteLength; at += pages * PAGE_BYTES) ram[at] = byte;
};

const here: Guest = { name: "here", pid: process.pid, ramBytes: RAM_MIB * MIB };
const hidden: Guest = { name: "hidden", pid: 2 ** 22 + 1, ramBytes: RAM_MIB * MIB };

const bookOf = (guests: readonly Guest[], migrates = false): GuestBook =>
  new GuestBook({ guests: () => guests, migrates: () => migrates });

/** A round, and what happens between its looks. */
async function round(book: GuestBook, meanwhile: () => void = () => {}): Promise<void> {
  const over = book.round();
  meanwhile();
  await vi.advanceTimersByTimeAsync(1_000);
  await over;
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test("how much changes is known after a round, and what there is", async () => {
  writeEach(1, 1);
  const book = bookOf([here]);
  expect(book.sampleOf(here)).toBeUndefined();
  await round(book, () => writeEach(2, 2));
  const looks = book.looksAt(here);
  writeEach(1, 3);
  expect(looks.ms).toBe(Infinity);
  expect((looks.change()?.changedPages ?? 0) / 1024).toBeCloseTo(0.5, 1);
  const sample = book.sampleOf(here);
  expect([sample?.filledPages, sample?.prints.length]).toEqual([sample?.pages, sample?.pages]);
});

test("what was seen is not believed for ever, nor of another process of the same guest", async () => {
  const book = bookOf([here]);
  await round(book);
  expect(book.sampleOf({ ...here, pid: here.pid + 1 })).toBeUndefined();
  expect(book.sampleOf(here)).toBeDefined();
  vi.advanceTimersByTime(2 * MINUTE_MS);
  expect(book.sampleOf(here)).toBeUndefined();
  expect(book.looksAt(here).ms).toBe(0);
});

test("a guest that has begun to write since is looked at anew, and one that changes a few pages is not", async () => {
  writeEach(1, 1);
  const book = bookOf([here]);
  await round(book);
  vi.advanceTimersByTime(5_000);
  writeEach(100, 2);
  expect(book.looksAt(here).ms).toBe(Infinity);
  writeEach(10, 3);
  expect(book.looksAt(here).ms).toBe(0);
  expect(book.sampleOf(here)).toBeUndefined();
});

test("each has its turn, also beside one that cannot be seen", async () => {
  const book = bookOf([hidden, here]);
  await round(book);
  expect(book.sampleOf(here)).toBeUndefined();
  await round(book);
  expect([book.sampleOf(here) === undefined, book.sampleOf(hidden) === undefined]).toEqual([false, true]);
});

test("nothing is looked at while something migrates", async () => {
  const book = bookOf([here], true);
  await round(book);
  expect(book.sampleOf(here)).toBeUndefined();
});

test("a guest that is gone is forgotten", async () => {
  const guests = [here];
  const book = bookOf(guests);
  await round(book);
  guests.pop();
  await round(book);
  expect(book.sampleOf(here)).toBeUndefined();
});
