import { expect, test } from "vitest";

import { openGuestMemory, ramAt } from "./guest-memory.ts";

const MIB = 2 ** 20;

/** As QEMU 7.2 has them: RAM between guard pages, a library, a heap. */
const MAPS = `560000000000-560000021000 rw-p 00000000 00:00 0                          [heap]
7f0000000000-7f0010000000 rw-p 00000000 00:00 0 
7f0010000000-7f0010001000 ---p 00000000 00:00 0 
7f2000000000-7f2000021000 r--p 00000000 fe:00 1234                       /usr/lib/libz.so.1
7f3000000000-7f3004000000 rw-s 00000000 00:01 5                          /memfd:ram (deleted)
`;

test("a guest's RAM is the one mapping of its size, private or shared", () => {
  expect(ramAt(MAPS, 256 * MIB)).toBe(0x7f0000000000);
  expect(ramAt(MAPS, 64 * MIB)).toBe(0x7f3000000000);
});

test("with none or two of that size nobody knows which it is", () => {
  expect(ramAt(MAPS, 128 * MIB)).toBeUndefined();
  expect(ramAt(MAPS + "7f8000000000-7f8010000000 rw-p 00000000 00:00 0 \n", 256 * MIB)).toBeUndefined();
  expect(ramAt(MAPS, 4096)).toBeUndefined();
});

test("of a process that is gone, or has no such mapping, there is no memory to read", () => {
  expect(openGuestMemory({ pid: 2 ** 22 + 1, ramBytes: 256 * MIB })).toBeUndefined();
  expect(openGuestMemory({ pid: process.pid, ramBytes: 3 })).toBeUndefined();
});
