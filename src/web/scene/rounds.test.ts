import { expect, test } from "vitest";

import { progressOf } from "../../../test/fakes/fixtures.ts";
import { phasesOfTrail, roundsOfTrail } from "./rounds.ts";

const MIB = 2 ** 20;
const reading = (elapsedMs: number, round: number, sent: number, left: number) =>
  progressOf({ elapsedMs, round, sentBytes: sent * MIB, remainingBytes: left * MIB });

test("rounds follow each other, and their bytes add up to what was sent", () => {
  const rounds = roundsOfTrail([
    reading(0, 1, 0, 500),
    reading(1000, 1, 300, 200),
    reading(1500, 2, 510, 40),
    reading(2000, 2, 540, 10),
    reading(2250, 3, 552, 8),
  ]);
  expect(rounds.map(({ round, startMs, endMs }) => [round, startMs, endMs])).toEqual([
    [1, 0, 1500],
    [2, 1500, 2250],
    [3, 2250, 2250],
  ]);
  expect(rounds.reduce((sum, one) => sum + one.sentBytes, 0)).toBe(552 * MIB);
});

test("what is sent before the first round, or after copying, is no round", () => {
  expect(roundsOfTrail([reading(0, 0, 0, 512), progressOf({ phase: "fetching", round: 3 })])).toEqual([]);
});

test("each stay in a phase is a span of its own", () => {
  const spans = phasesOfTrail(
    (["copying", "copying", "switching", "done"] as const).map((phase, n) =>
      progressOf({ phase, elapsedMs: n * 100 }),
    ),
  );
  expect(spans).toEqual([
    { phase: "copying", startMs: 0, endMs: 200 },
    { phase: "switching", startMs: 200, endMs: 300 },
    { phase: "done", startMs: 300, endMs: 300 },
  ]);
});
