/** The shapes a campaign leaves behind: one record per run, as JSON lines, and the result document made of them. */
import { z } from "zod";

import { OUTCOMES, techniqueName } from "../api/migration.ts";
import { report } from "../api/report.ts";
import { spread } from "./spread.ts";

const link = report.shape.environment.shape.link;

/** One run, raw: everything a figure in the result came from. */
export const runRecord = z.strictObject({
  workload: z.string(),
  says: z.string(),
  arm: z.string(),
  shows: z.string(),
  repetition: z.int().nonnegative(),
  seed: z.int().nonnegative(),
  at: z.iso.datetime(),
  link,
  /** Null: the request was refused or the guest was lost; `problem` says why. */
  report: report.nullable(),
  problem: z.string(),
});
export type RunRecord = z.infer<typeof runRecord>;

/** Null: no run of the cell measured it. */
const figure = spread.nullable();

export const benchCell = z.strictObject({
  workload: z.string(),
  arm: z.string(),
  runs: z.int(),
  /** Runs that did not end with the guest at the target, whatever the reason; `outcomes` says which. */
  failed: z.int(),
  /** Runs whose correctness was checked and found good. */
  verified: z.int(),
  outcomes: z.partialRecord(z.enum([...OUTCOMES, "refused"]), z.int()),
  /** Figures are of the runs that ended with "done". Host: target running minus source paused. */
  downtime_ms: figure,
  client_downtime_ms: figure,
  guest_downtime_ms: figure,
  /** Client minus host, run by run. */
  client_minus_host_ms: figure,
  disruption_ms: figure,
  degradation_ratio: figure,
  total_time_ms: figure,
  wire_bytes: figure,
  rounds: figure,
  throttle_percent: figure,
  /** Where the host's pause went, in order; only the arms whose pause is one switchover have all parts. */
  pause_parts_ms: z.record(z.string(), spread),
  finished_by: z.partialRecord(techniqueName, z.int()),
  /** The sentence of the rule that decided, from the run with the median downtime, or of the last that failed. */
  because: z.string(),
});
export type BenchCell = z.infer<typeof benchCell>;

export const benchDocument = z.strictObject({
  apiVersion: z.literal("godwit/v1"),
  kind: z.literal("Bench"),
  bench: z.literal("techniques"),
  /** One per campaign that wrote into the folder. */
  seeds: z.array(z.int()),
  link,
  environment: report.shape.environment.omit({ link: true }),
  workloads: z.record(z.string(), z.string()),
  arms: z.record(z.string(), z.string()),
  cells: z.array(benchCell),
});
export type BenchDocument = z.infer<typeof benchDocument>;
