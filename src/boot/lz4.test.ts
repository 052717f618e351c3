import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { legacyFrame } from "../../test/fakes/packed.ts";
import { unpackLz4Legacy } from "./lz4.ts";

/** Repetitive enough that both literals and matches come up, also matches that overlap themselves. */
const text = fc.array(fc.constantFrom("a", "ab", "kernel", "\0".repeat(40), "x".repeat(300)), {
  maxLength: 60,
});
const bytesOf = (parts: readonly string[]): Uint8Array => new TextEncoder().encode(parts.join(""));
const ROOM = 2 ** 20;

describe("LZ4's legacy frame", () => {
  it("gives back what was packed, in one block or several, whatever follows", () => {
    fc.assert(
      fc.property(fc.array(text, { minLength: 1, maxLength: 3 }), fc.boolean(), (blocks, appended) => {
        const packed = legacyFrame(blocks.map(bytesOf));
        const input = appended ? Buffer.concat([packed, Buffer.of(1, 2, 3, 4)]) : packed;
        const want = Buffer.concat(blocks.map(bytesOf));
        expect(Buffer.compare(unpackLz4Legacy(input, ROOM), want)).toBe(0);
      }),
    );
  });

  it("that is cut or changed anywhere is refused or shorter, and never longer than allowed", () => {
    const whole = legacyFrame([bytesOf(["kernel", "ab".repeat(99), "kernel"]), bytesOf(["x".repeat(300)])]);
    const tried = (input: Uint8Array): number => {
      try {
        return unpackLz4Legacy(input, 600).length;
      } catch (error) {
        expect(error).toBeInstanceOf(RangeError);
        return 0;
      }
    };
    for (let cut = 0; cut < whole.length; cut += 1)
      expect(tried(whole.subarray(0, cut))).toBeLessThanOrEqual(600);
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.nat(255), (at, byte) => {
        const changed = whole.slice();
        changed[at] = byte;
        expect(tried(changed)).toBeLessThanOrEqual(600);
      }),
    );
    expect(() => unpackLz4Legacy(legacyFrame([bytesOf(["x".repeat(601)])]), 600)).toThrow(RangeError);
  });
});
