/** Numbers of a column read back as written, and nothing else does. */
import * as fc from "fast-check";
import { expect, test } from "vitest";

import { ULEB_BYTES_MAX } from "./limits.ts";
import { ColumnReader, ColumnWriter, fold, unfold } from "./uleb.ts";

test("numbers below 2^32 read back, in at most five bytes each", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 2 ** 32 - 1 }), { maxLength: 20 }), (numbers) => {
      const column = new ColumnWriter(numbers.length * ULEB_BYTES_MAX);
      for (const number of numbers) column.uleb(number);
      const reader = new ColumnReader(column.written);
      expect(numbers.map(() => reader.uleb())).toEqual(numbers);
      expect(reader.done).toBe(true);
    }),
  );
});

test("signed numbers fold onto unsigned ones and back", () => {
  fc.assert(
    fc.property(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), (number) => {
      expect(unfold(fold(number))).toBe(number);
      expect(fold(number)).toBeLessThan(2 ** 32);
    }),
  );
  expect([0, -1, 1, -2].map(fold)).toEqual([0, 1, 2, 3]);
});

test.each([
  ["cut", [0x80]],
  ["too large", [255, 255, 255, 255, 127]],
  ["endless", [128, 128, 128, 128, 128, 0]],
])("a number that is %s is refused", (_name, bytes) => {
  expect(() => new ColumnReader(Uint8Array.from(bytes)).uleb()).toThrow(/number|column/);
});
