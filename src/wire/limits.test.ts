/** The limits fit each other. */
import { expect, test } from "vitest";

import { PAGE_BYTES } from "../page/types.ts";
import { DECODER_BYTES } from "./decode.ts";
import { ENCODER_BYTES } from "./encode.ts";
import { FRAME_HEADER_BYTES } from "./frame.ts";
import { FRAME_SLOT_BYTES } from "./frame-reader.ts";
import * as limits from "./limits.ts";

test("the largest batch fits one frame", () => {
  expect(limits.BATCH_BYTES_MAX).toBeLessThanOrEqual(limits.FRAME_PAYLOAD_BYTES_MAX);
});

test("the lengths of a batch's columns fit their 16 bits", () => {
  expect(limits.BATCH_PAGES_MAX * 9).toBeLessThan(2 ** 16);
  expect(limits.BATCH_BYTES_MAX).toBeLessThan(2 ** 32);
});

test("an abort fits a frame, and a code's length one byte", () => {
  expect(limits.ABORT_CODE_BYTES_MAX).toBeLessThan(256);
  expect(1 + limits.ABORT_CODE_BYTES_MAX + limits.ABORT_SENTENCE_BYTES_MAX).toBeLessThan(
    limits.FRAME_PAYLOAD_BYTES_MAX,
  );
});

test("page numbers, folded, and slots fit 32 bits of a column", () => {
  expect(limits.BLOCK_PAGES_MAX * 2).toBeLessThan(2 ** 32);
  expect(limits.STORE_SLOTS_MAX * 2).toBeLessThan(2 ** 32);
});

test("slots, and two flags beside them, fit a map's entry", () => {
  expect(limits.STORE_SLOTS_MAX + 1).toBeLessThan(2 ** 30);
});

test("the whole store fits a WebAssembly memory", () => {
  expect(limits.STORE_SLOTS_MAX * PAGE_BYTES).toBeLessThanOrEqual(2 ** 32);
});

test("store, index, scratch and frames that wait stay within a relay's memory", () => {
  // Per slot: generation 4, flags 2, owner 12; at the sender hash 4, features 16, both indexes 2 × (4 + 16).
  const slotBytes = 4 + 2 + 12 + 4 + 16 + 2 * (4 + 16);
  const bytes =
    limits.STORE_SLOTS_DEFAULT * (PAGE_BYTES + slotBytes) +
    Math.max(ENCODER_BYTES, DECODER_BYTES) +
    limits.WINDOW_FRAMES * FRAME_SLOT_BYTES;
  // The rest is for the process itself.
  expect(bytes).toBeLessThan(limits.RELAY_BYTES_MAX * 0.95);
});

test("a slot holds the longest frame's payload and the header of the next", () => {
  expect(FRAME_SLOT_BYTES).toBe(limits.FRAME_PAYLOAD_BYTES_MAX + FRAME_HEADER_BYTES);
});
