/** A kept store's header, byte by byte, and the ones that are none. */
import { expect, test } from "vitest";

import { crc32 } from "../../test/fakes/wire-pair.ts";
import {
  encodeKeptHeader,
  KEPT_HEADER_BYTES,
  keptCheckBegun,
  keptFileBytes,
  type KeptHeader,
  readKeptHeader,
} from "./kept.ts";

const header: KeptHeader = {
  slots: 8,
  used: 8,
  hand: 3,
  id: 0x1122334455667788n,
  operations: 500n,
  check: 0xaabbccdd,
};
const SIZE = 40 + 8 * (1 + 8 + 4096);

test("it is these bytes", () => {
  const bytes = encodeKeptHeader(header);
  expect(Buffer.from(bytes).toString("hex")).toBe(
    ["47445753", "00000001", "00000008", "00000008", "00000003"].join("") +
      ["1122334455667788", "00000000000001f4", "aabbccdd"].join(""),
  );
  expect(keptFileBytes(8)).toBe(SIZE);
  expect(readKeptHeader(bytes, SIZE, 8)).toEqual(header);
});

test("the check begins over the header without it", () => {
  const zeroed = encodeKeptHeader(header).fill(0, 36);
  expect(keptCheckBegun(header, crc32)).toBe(crc32(zeroed));
});

test.each([
  ["another magic", { 0: 0x48 }, "no page store"],
  ["another version", { 7: 2 }, "version 2"],
  ["more slots", { 11: 9 }, "9 slots"],
  ["more used than there are", { 15: 9 }, "cannot be"],
  ["a gigantic number of used ones", { 12: 0xff }, "cannot be"],
  ["a hand beyond the slots", { 19: 8 }, "cannot be"],
  ["a hand that moved although there was room", { 15: 7 }, "cannot be"],
  ["operations that cannot be counted", { 28: 0x7f }, "cannot be"],
  ["no id", Object.fromEntries(Array.from({ length: 8 }, (_, at) => [20 + at, 0])), "cannot be"],
] as const)("one with %s is refused", (_what, changes: Readonly<Record<number, number>>, why) => {
  const bytes = encodeKeptHeader(header);
  for (const [at, byte] of Object.entries(changes)) bytes[Number(at)] = byte;
  expect(readKeptHeader(bytes, SIZE, 8)).toContain(why);
});

test("a file shorter or longer than its header says is refused", () => {
  const bytes = encodeKeptHeader(header);
  for (const size of [0, KEPT_HEADER_BYTES, SIZE - 1, SIZE + 1]) {
    expect(readKeptHeader(bytes, size, 8)).toContain("length");
  }
  expect(readKeptHeader(bytes.subarray(0, 39), SIZE, 8)).toContain("too short");
});
