import { describe, expect, it } from "vitest";

import { nextStep, parseRamBlocks } from "./reclaim.ts";

const INFO = [
  "              Block Name    PSize              Offset               Used              Total",
  "                  pc.ram    4 KiB  0x0000000000000000 0x0000000000009000 0x0000000000009000",
  "    /rom@etc/acpi/tables    4 KiB  0x0000000008080000 0x0000000000020000 0x0000000000200000",
].join("\r\n");
const blocks = parseRamBlocks(INFO);
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(" ", ""), "hex");
const answer = (bytes: string): string | undefined => nextStep(hex(bytes), blocks)?.answer.toString("hex");

describe("the stand-in of a reclaim", () => {
  it("knows each RAM block's used bytes", () => {
    expect([...blocks]).toEqual([
      ["pc.ram", 0x9000],
      ["/rom@etc/acpi/tables", 0x20000],
    ]);
  });

  it("says of nine pages that it has all nine, in one word of 64 bits", () => {
    const ask = "08 000a 0007 06 70632e72616d";
    const want = "0005 0007 06 70632e72616d 0000000000000008 ff01000000000000 0123456789abcdef";
    expect(answer(ask)).toBe(want.replaceAll(" ", ""));
    expect(nextStep(hex(`${ask}08`), blocks)?.usedBytes).toBe(12);
  });

  it("acknowledges the resume, and takes the first section for the end", () => {
    expect(answer("08 0009 0000")).toBe("0006000400000001");
    expect(answer("03 00000002")).toBe("0001000400000000");
    expect(nextStep(hex("03"), blocks)?.last).toBe(true);
  });

  it("waits while a command is incomplete, wherever it is cut", () => {
    const ask = hex("08 000a 0007 06 70632e72616d");
    for (let length = 0; length < ask.length; length += 1) {
      expect(nextStep(ask.subarray(0, length), blocks)).toBeUndefined();
    }
  });

  it("refuses what no recovery contains", () => {
    expect(() => nextStep(hex("08 0005 0000"), blocks)).toThrow("command 5");
    expect(() => nextStep(hex("08 000a ffff"), blocks)).toThrow("65535 bytes");
    expect(() => nextStep(hex("08 000a 0002 01 78"), blocks)).toThrow("RAM block");
  });
});
