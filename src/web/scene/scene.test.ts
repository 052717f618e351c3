import { expect, test } from "vitest";

import { migrationOf, progressOf, reportOf } from "../../../test/fakes/fixtures.ts";
import { recording } from "../../api/recording.ts";
import { joined, sceneAt } from "./scene.ts";

const samples = (["copying", "copying", "switching", "done"] as const).map((phase, n) => ({
  atMs: n * 1000,
  progress: progressOf({ phase, elapsedMs: n * 1000, fraction: n / 3 }),
}));
const recorded = recording.parse({
  view: migrationOf({ phase: "done", outcome: "done", reason: "it runs on b" }),
  intervalMs: 250,
  samples,
  timeline: [],
});

test("a moment of a replay knows nothing of what came later", () => {
  const scene = sceneAt(recorded, 1500, reportOf());
  expect(scene.trail).toHaveLength(2);
  expect(scene.view).toMatchObject({ phase: "copying" });
  expect(scene.view.outcome).toBeUndefined();
  expect(scene.view.reason).toBeUndefined();
  expect(scene.report).toBeUndefined();
});

test("what a client waited is replayed as far as the moment, and is whole at the end", () => {
  const report = reportOf({ client_latency: { slice_ms: 500, longest_ms: [1, 2, 3, 4, 5, 6, 7, 8] } });
  expect(sceneAt(recorded, 1700, report).latency).toEqual({ slice_ms: 500, longest_ms: [1, 2, 3] });
  expect(sceneAt(recorded, 3000, report).latency?.longest_ms).toHaveLength(8);
  expect(sceneAt(recorded, 1700, reportOf()).latency).toBeUndefined();
});

test("its end is the end: outcome and report", () => {
  const scene = sceneAt(recorded, 3000, reportOf());
  expect(scene.view.outcome).toBe("done");
  expect(scene.report?.id).toBe("m-1");
});

test("a page opened late sees the course from its beginning, and no time twice", () => {
  const trail = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, n) => progressOf({ elapsedMs: (from + n) * 250 }));
  const times = joined(trail(0, 12), trail(10, 20)).map((one) => one.elapsedMs / 250);
  expect(times).toEqual(Array.from({ length: 20 }, (_, n) => n));
  expect(joined([], trail(1, 3))).toHaveLength(2);
});
