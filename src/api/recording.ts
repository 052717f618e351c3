/** What is kept of a migration to be looked at again: its progress, thinned to a bounded number of samples, and its timeline. */
import { z } from "zod";

import { migrationView, progress } from "./migration.ts";
import { pageOf } from "./pages.ts";
import { timelineEntry } from "./report.ts";

/** Samples are at least this far apart, except where the phase changes. */
export const SAMPLE_INTERVAL_MS = 250;
export const RECORDING_SAMPLES_MAX = 1200;

export const recordedSample = z.strictObject({
  /** Since the migration was accepted. */
  atMs: z.number().nonnegative(),
  progress,
});
export type RecordedSample = z.infer<typeof recordedSample>;

export const recording = z.strictObject({
  view: migrationView,
  /** The distance of samples now: doubled each time there were too many. */
  intervalMs: z.number().positive(),
  samples: z.array(recordedSample).max(RECORDING_SAMPLES_MAX),
  /** Events on this side, in order. */
  timeline: z.array(timelineEntry),
});
export type Recording = z.infer<typeof recording>;

export const recordingSummary = z.strictObject({
  id: z.string(),
  vm: z.string(),
  startedAt: z.iso.datetime(),
  samples: z.int().nonnegative(),
  durationMs: z.number().nonnegative(),
});
export const recordingsPage = pageOf(recordingSummary);
