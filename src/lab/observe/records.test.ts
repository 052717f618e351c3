import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";

import { encodeRecord, newestNs, parseRecords, readRecords } from "./records.ts";

const folder = mkdtempSync(join(tmpdir(), "godwit-records-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const MS = 1_000_000n;

describe("an observer's log", () => {
  it("gives back what was written, also while its last record is half there", () => {
    const time = fc.bigInt({ min: 0n, max: 2n ** 60n });
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(), time, time)),
        fc.integer({ min: 0, max: 23 }),
        (records, extra) => {
          const whole = Buffer.concat(records.map(([number, a, b]) => encodeRecord(number, a, b)));
          const parsed = parseRecords(Buffer.concat([whole, Buffer.alloc(extra)]), 0n);
          expect(parsed.map((r) => r.number)).toEqual(records.map(([number]) => number));
          expect(parsed.map((r) => r.lastMs)).toEqual(records.map(([, , b]) => Number(b) / 1e6));
        },
      ),
    );
  });

  it("is read in its window with neighbours on both sides, and no further", () => {
    const file = join(folder, "long.bin");
    const origin = 7n * 10n ** 15n;
    const all = Array.from({ length: 20_000 }, (_, n) =>
      encodeRecord(n, origin + BigInt(n) * MS, origin + BigInt(n) * MS + 200_000n),
    );
    writeFileSync(file, Buffer.concat(all));
    const read = readRecords(file, origin + 5000n * MS, origin + 6000n * MS, origin);
    const numbers = new Set(read.map((r) => r.number));
    for (let n = 4999; n <= 6000; n += 1) expect(numbers.has(n)).toBe(true);
    expect(read.length).toBeLessThan(1200);
    expect(read.find((r) => r.number === 5000)).toEqual({ number: 5000, firstMs: 5000, lastMs: 5000.2 });
    expect(newestNs(file)).toBe(origin + 19_999n * MS + 200_000n);
    appendFileSync(file, Buffer.alloc(10));
    expect(newestNs(file)).toBe(origin + 19_999n * MS + 200_000n);
  });

  it("is empty when it is not there", () => {
    expect(readRecords(join(folder, "none.bin"), 0n, 1n, 0n)).toEqual([]);
    expect(newestNs(join(folder, "none.bin"))).toBeNull();
  });
});
