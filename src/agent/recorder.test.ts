/** Recordings: what happened can be looked at again, in bounded size, also after the agent restarted. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import * as fc from "fast-check";
import { pino } from "pino";
import { afterEach, beforeEach, expect, test } from "vitest";

import { migrationOf, progressOf } from "../../test/fakes/fixtures.ts";
import { PHASES, type MigrationView } from "../api/migration.ts";
import { RECORDING_SAMPLES_MAX, SAMPLE_INTERVAL_MS } from "../api/recording.ts";
import { EventHub } from "./events.ts";
import { Recorder, type RecorderOptions } from "./recorder.ts";
import { NO_SAMPLES, withSample } from "./samples.ts";

let folder: string;
let hub: EventHub;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "godwit-recorder-"));
  hub = new EventHub();
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const open = (options: RecorderOptions = {}): Recorder =>
  new Recorder(join(folder, "recordings.db"), hub, pino({ level: "silent" }), options);
const saw = (elapsedMs: number, parts: Partial<MigrationView> = {}): void => {
  const phase = parts.phase ?? "copying";
  hub.publish({
    type: "migration",
    migration: migrationOf({ progress: progressOf({ elapsedMs, phase }), ...parts }),
  });
};
const times = (recorder: Recorder, id = "m-1") => recorder.samples(id).samples.map(({ atMs }) => atMs);

const steps = fc.array(
  fc.record({ ms: fc.integer({ min: 0, max: 2000 }), phase: fc.constantFrom(...PHASES) }),
  {
    maxLength: 400,
  },
);

test("samples are bounded, in order, apart from each other, and keep the first, the newest phase and its begin", () => {
  fc.assert(
    fc.property(steps, fc.integer({ min: 4, max: 50 }), (all, max) => {
      let kept = NO_SAMPLES;
      let atMs = 0;
      for (const { ms, phase } of all) {
        atMs += ms;
        kept = withSample(kept, { atMs, progress: progressOf({ phase }) }, max);
      }
      expect(kept.samples.length).toBeLessThanOrEqual(max);
      expect(kept.samples.length > 0).toBe(all.length > 0);
      expect(kept.samples[0]?.atMs).toBe(all[0]?.ms);
      expect(kept.intervalMs % SAMPLE_INTERVAL_MS).toBe(0);
      const distances = kept.samples.slice(1).map((sample, index) => {
        const before = kept.samples[index];
        const changed = before?.progress.phase !== sample.progress.phase;
        return { ms: sample.atMs - (before?.atMs ?? 0), changed };
      });
      expect(distances.every(({ ms, changed }) => changed || ms >= SAMPLE_INTERVAL_MS)).toBe(true);
    }),
  );
});

test("a day of ten samples a second is still one recording, from its first second to its last", () => {
  let kept = NO_SAMPLES;
  const dayMs = 24 * 3600e3;
  for (let atMs = 0; atMs <= dayMs; atMs += 100) kept = withSample(kept, { atMs, progress: progressOf() });
  expect(kept.samples.length).toBeGreaterThan(RECORDING_SAMPLES_MAX / 3);
  expect(kept.samples[0]?.atMs).toBe(0);
  expect(dayMs - (kept.samples.at(-1)?.atMs ?? 0)).toBeLessThan(2 * kept.intervalMs);
});

test("an ended migration's recording is there after a restart", async () => {
  const recorder = open();
  for (const elapsedMs of [0, 100, 300, 700]) saw(elapsedMs);
  saw(720, { phase: "switching" });
  saw(800, { phase: "done", outcome: "done" });
  expect(times(recorder)).toEqual([0, 300, 700, 720, 800]);
  await recorder.close();
  const again = open();
  expect(times(again)).toEqual([0, 300, 700, 720, 800]);
  expect(again.list(10, undefined, undefined).items).toEqual([
    { id: "m-1", vm: "db-1", startedAt: "2026-01-02T03:04:05.000Z", samples: 5, durationMs: 800 },
  ]);
  await again.close();
});

test("a migration that outlives its agent has one recording", async () => {
  const first = open();
  saw(0);
  saw(500);
  await first.close();
  const second = open();
  saw(1000);
  saw(1500, { phase: "done", outcome: "done" });
  await second.written;
  expect(times(second)).toEqual([0, 500, 1000, 1500]);
  await second.close();
});

test("while it runs it is written now and then, but not while the guest is paused", async () => {
  const recorder = open({ writeIntervalMs: 0 });
  saw(0);
  saw(300, { phase: "switching" });
  await recorder.written;
  expect(recorder.list(1, undefined, undefined).items[0]?.samples).toBe(1);
  saw(600);
  await recorder.written;
  expect(recorder.list(1, undefined, undefined).items[0]?.samples).toBe(3);
  await recorder.close();
});

test("the oldest recordings go at the limit", async () => {
  const recorder = open({ kept: 3 });
  for (let n = 0; n < 6; n += 1) {
    saw(0, { id: `m-${n}`, startedAt: `2026-01-02T03:04:0${n}.000Z`, outcome: "done", phase: "done" });
  }
  await recorder.written;
  expect(recorder.list(10, undefined, undefined).items.map(({ id }) => id)).toEqual(["m-5", "m-4", "m-3"]);
  expect(times(recorder, "m-0")).toEqual([]);
  await recorder.close();
});

test("a full file makes room by forgetting old ones, and recording never throws", async () => {
  const recorder = open({ bytesMax: 128 * 1024 });
  for (let n = 0; n < 300; n += 1) {
    const startedAt = new Date(Date.parse("2026-01-02T03:04:05Z") + n * 1000).toISOString();
    for (let atMs = 0; atMs < 5000; atMs += 250) saw(atMs, { id: `m-${n}`, startedAt });
    saw(5000, { id: `m-${n}`, startedAt, phase: "done", outcome: "done" });
  }
  await recorder.written;
  const { items } = recorder.list(1000, undefined, undefined);
  expect(items[0]?.id).toBe("m-299");
  expect(items.length).toBeLessThan(300);
  expect(times(recorder, "m-299")).toHaveLength(21);
  await recorder.close();
});
