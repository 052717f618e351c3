import { expect, test } from "vitest";

import { progressOf } from "../../../test/fakes/fixtures.ts";
import { CLASSES, classes, clientWaits, expectedEnd, phaseBands, rates, remaining } from "./series.ts";

const wire = (zero: number, raw: number) => ({
  pages: { zero, raw, compressed: 0, delta: 0, duplicate: 0, unchanged: 0, referenced: 0 },
  qemuBytes: 4_096_000,
  wireBytes: 1_024_000,
  ratio: 4,
  relayCpuSeconds: 1,
  relayRssBytes: 1,
});

test("on the direct way there is no chart of page classes", () => {
  expect(classes([progressOf()])).toBeUndefined();
});

test("only classes that occurred are drawn, in the order of what they cost, and said in words", () => {
  const data = classes([progressOf(), progressOf({ wire: wire(300, 100) })]);
  expect(data?.lines.map((line) => line.label)).toEqual(["zero", "raw"]);
  expect(data?.seconds).toHaveLength(1);
  expect(data?.summary).toContain("zero 75 %, raw 25 %");
  expect(CLASSES.at(-1)).toBe("raw");
});

test("the time in which the guest is paused is marked, however short", () => {
  const bands = phaseBands([
    progressOf({ phase: "copying", elapsedMs: 0 }),
    progressOf({ phase: "switching", elapsedMs: 1000 }),
    progressOf({ phase: "handed-over", elapsedMs: 1100 }),
  ]);
  expect(bands).toEqual([{ fromS: 1, toS: 1.1, color: "--gw-band-paused" }]);
});

test("the guest's writing is not drawn as nothing while nobody has measured it", () => {
  const [, writes] = rates([
    progressOf({ round: 1, dirtyBytesPerSecond: 0 }),
    progressOf({ round: 2 }),
  ]).lines;
  expect(writes?.values).toEqual([null, 3 * 2 ** 20]);
});

test("one moment of much writing does not press the rest flat", () => {
  const course = (dirty: (n: number) => number) =>
    rates(
      Array.from({ length: 40 }, (_, n) =>
        progressOf({ elapsedMs: n * 250, sendBytesPerSecond: 10, dirtyBytesPerSecond: dirty(n) }),
      ),
    );
  expect(course((n) => (n === 30 ? 5000 : 4)).top).toBe(20);
  // What it does all the time is to be seen.
  expect(course(() => 90).top).toBe(90);
});

test("the expected end is a band on an axis that reaches it and does not creep", () => {
  const at = (elapsedMs: number, highMs: number) =>
    expectedEnd([progressOf({ elapsedMs, eta: { ms: 8000, lowMs: 6000, highMs } })]);
  expect(at(12_000, 10_000)).toMatchObject({ band: { fromS: 18, toS: 22 }, axisEndS: 30 });
  expect(at(12_500, 10_000)?.axisEndS).toBe(30);
  expect(at(12_000, 1e9)?.band.toS).toBe(30);
  const { eta: _, ...unknown } = progressOf();
  expect(expectedEnd([unknown])).toBeUndefined();
});

test("nothing read yet is said, not drawn as zero", () => {
  expect(remaining([]).summary).toBe("Nothing read yet.");
  expect(remaining([progressOf({ phase: "preparing" })]).lines[0]?.values).toEqual([null]);
  expect(remaining([progressOf({ ramBytes: 0, remainingBytes: 0 })]).lines[0]?.values).toEqual([null]);
});

test("what a client waits is said with its usual and its longest, and is nothing where nobody asked", () => {
  const { seconds, lines, summary } = clientWaits({ slice_ms: 500, longest_ms: [1, null, 2, 300, 2] });
  expect(seconds).toEqual([0.5, 1, 1.5, 2, 2.5]);
  expect(lines[0]?.values).toEqual([1, null, 2, 300, 2]);
  expect(summary).toBe("Usually 2 ms; at most 300 ms, 2.0 s after the start.");
  expect(clientWaits({ slice_ms: 10, longest_ms: [null] }).summary).toBe("Nobody has answered yet.");
});
