/** Quantities: what is written means one thing, and a bare number means nothing. */
import * as fc from "fast-check";
import { expect, test } from "vitest";

import { CodedError } from "./errors.ts";
import { formatBytes, formatDuration, formatRate, parseBytes, parseDuration, parseRate } from "./units.ts";

const parsers = { parseBytes, parseRate, parseDuration } as const;
const parserNames = Object.keys(parsers) as (keyof typeof parsers)[];

test.each([
  ["512MiB", 512 * 2 ** 20],
  ["4 GiB", 4 * 2 ** 30],
  ["1.5KiB", 1536],
  ["1kB", 1000],
  ["1TB", 1e12],
  ["7B", 7],
])("%s is %d bytes", (text, bytes) => expect(parseBytes(text)).toBe(bytes));

test.each([
  ["1Gbit/s", 125e6],
  ["100Mbps", 12.5e6],
  ["100Mb/s", 12.5e6],
  ["8kbit/s", 1000],
  ["100MiB/s", 100 * 2 ** 20],
  ["1MB/s", 1e6],
])("%s is %d bytes per second", (text, rate) => expect(parseRate(text)).toBe(rate));

test.each([
  ["300ms", 300],
  ["0.3s", 300],
  ["10m", 600_000],
  ["10min", 600_000],
  ["2h", 7_200_000],
  ["500us", 0.5],
  ["30d", 30 * 24 * 3_600_000],
])("%s is %d ms", (text, ms) => expect(parseDuration(text)).toBe(ms));

const refusedBy = (name: keyof typeof parsers, text: string): string => {
  try {
    parsers[name](text);
  } catch (error) {
    if (error instanceof CodedError) return error.code;
  }
  return "";
};

test.each(parserNames)("%s refuses every bare number, naming units", (name) => {
  fc.assert(
    fc.property(fc.double({ min: 0, noNaN: true, noDefaultInfinity: true }), (number) => {
      expect(refusedBy(name, String(number))).toBe("UNIT_MISSING");
    }),
  );
  expect(() => parsers[name]("100")).toThrow("a unit is needed");
});

test.each(parserNames)("%s answers any text with a finite number of at least 0, or a refusal", (name) => {
  const near = fc
    .tuple(
      fc.constantFrom("1", "0.5", "-1", "1e3", ""),
      fc.constantFrom("MiB", "MiB/s", "ms", "s", "toString", "/s"),
    )
    .map((parts) => parts.join(""));
  fc.assert(
    fc.property(fc.oneof(fc.string(), near), (text) => {
      if (refusedBy(name, text) === "UNIT_MISSING") return;
      const value = parsers[name](text);
      expect(Number.isFinite(value) && value >= 0).toBe(true);
    }),
  );
});

test("a number too long to be meant is refused, not infinite", () => {
  expect(refusedBy("parseBytes", `${"9".repeat(400)}MiB`)).toBe("UNIT_MISSING");
});

test.each([
  ["parseRate", "100MiB"],
  ["parseBytes", "100MiB/s"],
  ["parseBytes", "1Gbit"],
  ["parseDuration", "10MiB"],
] as const)("%s refuses the unit of another quantity: %s", (name, text) => {
  expect(refusedBy(name, text)).toBe("UNIT_MISSING");
});

test("a size or rate that was formatted reads back within half a percent", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 50 }), (bytes) => {
      const tolerance = bytes * 0.005 + 0.5;
      expect(Math.abs(parseBytes(formatBytes(bytes)) - bytes)).toBeLessThanOrEqual(tolerance);
      expect(Math.abs(parseRate(formatRate(bytes)) - bytes)).toBeLessThanOrEqual(tolerance);
    }),
  );
});

test.each([
  [0.42, "0.4 ms"],
  [23.4, "23 ms"],
  [3200, "3.2 s"],
  [125_000, "2 m 05 s"],
])("%d ms is shown as %s", (ms, text) => expect(formatDuration(ms)).toBe(text));

test.each([
  [0, "0 B"],
  [1023, "1023 B"],
  [1_234_567, "1.18 MiB"],
])("%d bytes are shown as %s", (bytes, text) => expect(formatBytes(bytes)).toBe(text));
