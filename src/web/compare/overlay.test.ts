import { expect, test } from "vitest";

import { progressOf, reportOf } from "../../../test/fakes/fixtures.ts";
import { overlay } from "./overlay.ts";

const trail = (...points: readonly (readonly [number, number])[]) =>
  points.map(([elapsedMs, remainingBytes]) => progressOf({ elapsedMs, remainingBytes }));

test("courses with different moments share one axis; one that has ended is drawn no further", () => {
  const data = overlay(
    [
      { report: reportOf(), trail: trail([0, 100], [1000, 50], [3000, 0]) },
      { report: reportOf({ vm: "web-1" }), trail: trail([500, 80], [1500, 10]) },
    ],
    (one) => one.remainingBytes,
  );
  expect(data.seconds).toEqual([0, 0.5, 1, 1.5, 3]);
  expect(data.lines.map((line) => line.values)).toEqual([
    [100, 100, 50, 50, 0],
    [null, 80, 80, 10, null],
  ]);
});

test("one whose recording is no longer kept has a line without values", () => {
  const data = overlay(
    [
      { report: reportOf(), trail: [] },
      { report: reportOf(), trail: trail([0, 1]) },
    ],
    () => 1,
  );
  expect(data.lines[0]?.values).toEqual([null]);
});
