import * as fc from "fast-check";
import { expect, test } from "vitest";

import { cuts, cutUp, messages } from "../../test/model/stream-arbitrary.ts";
import { readReturn, readReturnPieces } from "../../test/model/streams.ts";
import { encodeReturn, FullForm, ReturnReader, type ReturnMessage } from "./return-path.ts";

test("any cut of any return path gives the same messages", () => {
  fc.assert(
    fc.property(messages, cuts, (sent, sizes) => {
      const bytes = new Uint8Array(Buffer.concat(sent.map(encodeReturn)));
      expect(readReturnPieces(cutUp(bytes, sizes))).toEqual(sent);
    }),
  );
});

test("messages lie one behind the other", () => {
  const reader = new ReturnReader();
  reader.push(encodeReturn({ kind: "pong", value: 1 }));
  reader.push(encodeReturn({ kind: "request-pages", block: "r", start: 4096, length: 4096 }));
  expect([...reader].map(({ offset, length }) => [offset, length])).toEqual([
    [0, 8],
    [8, 18],
  ]);
});

test("requests are laid out as QEMU does: 3 with the name, 4 without", () => {
  expect([...encodeReturn({ kind: "request-pages", block: "r", start: 0x1000, length: 0x2000 })]).toEqual([
    0, 3, 0, 14, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0x20, 0, 1, 0x72,
  ]);
  expect([...encodeReturn({ kind: "request-pages", start: 0x1000, length: 0x2000 })].slice(0, 4)).toEqual([
    0, 4, 0, 12,
  ]);
});

const bitmap = [0, 5, 0, 2, 1, 0x72];
test.each([
  ["a payload over the limit", [0, 2, 2, 1], "STREAM_LIMIT"],
  ["an unknown type", [0, 8, 0, 0], "STREAM_INVALID"],
  ["type 0", [0, 0, 0, 0], "STREAM_INVALID"],
  ["a PONG of another length", [0, 2, 0, 5, 0, 0, 0, 1, 0], "STREAM_INVALID"],
  ["a request beyond all RAM", [0, 4, 0, 12, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0], "STREAM_LIMIT"],
  ["a bitmap over the limit", [...bitmap, 0, 0, 0, 1, 0, 0, 0, 0], "STREAM_LIMIT"],
  ["a bitmap of half a word", [...bitmap, 0, 0, 0, 0, 0, 0, 0, 4], "STREAM_INVALID"],
  ["a bitmap without its mark", [...bitmap, ...Array.from({ length: 16 }, () => 0)], "STREAM_INVALID"],
])("%s is refused", (_what, bytes, code) => {
  expect(() => readReturn(new Uint8Array(bytes))).toThrow(expect.objectContaining({ code }));
});

const request = (start: number, block?: string): ReturnMessage => ({
  kind: "request-pages",
  start,
  length: 4096,
  ...(block !== undefined && { block }),
});

test("an abbreviated request is made full with the block the target named last", () => {
  const full = new FullForm();
  expect(full.rewrite(request(0, "a"))).toEqual(request(0, "a"));
  expect(full.rewrite(request(4096))).toEqual(request(4096, "a"));
  expect(full.rewrite({ kind: "pong", value: 4 })).toEqual({ kind: "pong", value: 4 });
  expect(full.rewrite(request(0, "b"))).toEqual(request(0, "b"));
  expect(full.rewrite(request(8192))).toEqual(request(8192, "b"));
});

test("after a recovery the block is unknown until it is named anew", () => {
  const full = new FullForm();
  full.rewrite(request(0, "a"));
  full.reset();
  expect(() => full.rewrite(request(0))).toThrow("names its block");
});
