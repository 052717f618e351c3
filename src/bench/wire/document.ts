/** The shapes the wire's campaign leaves behind: one record per run, as JSON lines, and the document made of them. */
import { z } from "zod";

import { report } from "../../api/report.ts";
import { spread } from "../spread.ts";

/** What is not in a report: read beside the agents, on the same clock, for every arm alike. */
export const beside = z.strictObject({
  /** The source's interface to the target, both directions, from t0 to t6. Null where the interface is everybody's. */
  wire_bytes: z.number().nullable(),
  /** The part of it after QEMU's first pass over the memory ended. Null when there was no such pass. */
  bytes_after_first_round: z.number().nullable(),
  /** Processor time of both agents meanwhile. */
  agent_cpu_seconds: z.number().nullable(),
  /** What of the guest was asked whether it is still what it was; empty when nothing could be asked. */
  proved: z.array(z.string()),
});
export type Beside = z.infer<typeof beside>;

/** One run, raw: everything a figure in the result came from. */
export const wireRun = z.strictObject({
  contents: z.string(),
  says: z.string(),
  link: z.string(),
  shaping: report.shape.environment.shape.link,
  arm: z.string(),
  shows: z.string(),
  stock: z.boolean(),
  repetition: z.int().nonnegative(),
  seed: z.int().nonnegative(),
  at: z.iso.datetime(),
  /** Memory was compared whole while the guest was paused: counted as proof, not in any figure. */
  proof: z.boolean(),
  /** Null: the request was refused or the guest was lost; `problem` says why. */
  report: report.nullable(),
  beside: beside.nullable(),
  problem: z.string(),
});
export type WireRun = z.infer<typeof wireRun>;

/** Null: no run of the cell measured it. */
const figure = spread.nullable();

/** Figures by which arms are compared; each a ratio to the best stock arm of the same contents and link. */
export const COMPARED = ["wire_bytes", "total_time_ms", "downtime_ms", "bytes_after_first_round"] as const;
export type Compared = (typeof COMPARED)[number];

const ofCompared = <T extends z.ZodType>(value: T) =>
  z.strictObject({
    wire_bytes: value,
    total_time_ms: value,
    downtime_ms: value,
    bytes_after_first_round: value,
  });

export const wireCell = z.strictObject({
  contents: z.string(),
  link: z.string(),
  arm: z.string(),
  stock: z.boolean(),
  /** Runs that are measured; those that only prove are in `memory_proofs`. */
  runs: z.int(),
  /** Runs that did not end with an intact guest at the target, sent the way that was asked for. */
  failed: z.int(),
  wire_bytes: figure,
  total_time_ms: figure,
  /** Host: target running minus source paused. */
  downtime_ms: figure,
  /** Both QEMUs, both relays and both agents. The QEMUs' is the guest's own too. */
  cpu_seconds: figure,
  /** At least one run is done, and in each that is done the guest proved what it holds. */
  verified: z.boolean(),
  verified_runs: z.int(),
  memory_proofs: z.strictObject({ runs: z.int(), good: z.int() }),
  bytes_after_first_round: figure,
  /** Host downtime and, with post-copy, the time the vCPUs then waited for pages: what compares across techniques. */
  stall_ms: figure,
  client_downtime_ms: figure,
  relay_cpu_seconds: figure,
  /** The way the runs went. */
  paths: z.partialRecord(z.enum(["direct", "relay"]), z.int()),
  /** This arm's median by the best stock arm's. */
  ratio_to_best_stock: ofCompared(z.number().nullable()),
  /** Why a run failed, each reason once. */
  problems: z.array(z.string()),
});
export type WireCell = z.infer<typeof wireCell>;

export const goal = z.strictObject({
  goal: z.string(),
  limit: z.number(),
  /** Null: not measured. */
  value: z.number().nullable(),
  met: z.boolean().nullable(),
  /** The cells that miss it, each in a sentence. */
  misses: z.array(z.string()),
});
export type Goal = z.infer<typeof goal>;

export const armSummary = z.strictObject({
  arm: z.string(),
  /** Shaped cells in which this arm and a stock arm were done. */
  shaped_cells: z.int(),
  /** Geometric means over those cells of this arm's ratio to the best stock arm. */
  geometric_mean: ofCompared(z.number().nullable()),
  /** The same against plain pre-copy alone (`qemu-default`): the base of published figures, and no goal. */
  geometric_mean_to_plain: ofCompared(z.number().nullable()),
  goals: z.array(goal),
});
export type ArmSummary = z.infer<typeof armSummary>;

export const wireDocument = z.strictObject({
  apiVersion: z.literal("godwit/v1"),
  kind: z.literal("Bench"),
  bench: z.literal("wire"),
  cells: z.array(wireCell),
  summary: z.strictObject({
    arms: z.array(armSummary),
    /** Which stock arm was best, for each cell that has one. */
    best_stock: z.array(
      z.strictObject({ contents: z.string(), link: z.string(), ...ofCompared(z.string().nullable()).shape }),
    ),
  }),
  seeds: z.array(z.int()),
  environment: report.shape.environment.omit({ link: true }).nullable(),
  links: z.record(z.string(), report.shape.environment.shape.link),
  contents: z.record(z.string(), z.record(z.string(), z.string())),
  arms: z.record(z.string(), z.string()),
  /** The file with the plot; null when none was written. */
  plot: z.string().nullable(),
});
export type WireDocument = z.infer<typeof wireDocument>;
