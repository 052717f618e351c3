/**
 * The report of one migration: a self-describing document with a published JSON Schema
 * (schemas/report.schema.json). Metrics are defined in docs/metrics.md: which clock, which observer, which interval.
 * A metric nobody observed is null, never zero.
 */
import { z } from "zod";

import { clientLatency } from "./latency.ts";
import { migrateSettings, outcome, techniqueName } from "./migration.ts";

const measured = z.number().nullable();

export const timelineEntry = z.strictObject({
  /** Milliseconds after the migration was accepted (t0), on the source host's monotonic clock. */
  atMs: z.number(),
  host: z.string(),
  what: z.string(),
});
export type TimelineEntry = z.infer<typeof timelineEntry>;

export const roundRecord = z.strictObject({
  round: z.int(),
  startMs: z.number(),
  durationMs: z.number(),
  sentBytes: z.number(),
  /** Dirty when the round ended: what the next one has to send. */
  dirtyBytes: z.number(),
  dirtyBytesPerSecond: z.number(),
  sendBytesPerSecond: z.number(),
  throttlePercent: z.number(),
});
export type RoundRecord = z.infer<typeof roundRecord>;

export const metrics = z.strictObject({
  downtime_ms: z.strictObject({
    /** Target RESUME minus source STOP, one monotonic clock. Null when the hosts share no clock. */
    vm: measured,
    /** Longest gap between answers at a client outside the guest, minus the probe period. */
    client: measured,
    /** Time missing from the guest's own tick count against an outside clock. */
    guest: measured,
    /** QEMU's own figure, source side. */
    qemu: measured,
  }),
  disruption_ms: z.strictObject({ span: measured, sum: measured }),
  total_time_ms: measured,
  eviction_time_ms: measured,
  bytes: z.strictObject({
    /** Interface counters of the source host, IP level, whole migration. */
    wire_out: measured,
    wire_in: measured,
    /** What QEMU says it wrote. */
    qemu: measured,
    storage: measured,
    side: measured,
  }),
  degradation_ratio: measured,
  postcopy: z.strictObject({ blocktime_ms: measured, page_requests: measured }).nullable(),
});
export type Metrics = z.infer<typeof metrics>;

export const correctness = z.strictObject({
  verdict: z.enum(["verified", "failed", "not-checked"]),
  checks: z.array(z.strictObject({ what: z.string(), ok: z.boolean(), detail: z.string() })),
  lost_acknowledged_writes: measured,
});
export type Correctness = z.infer<typeof correctness>;

export const report = z.strictObject({
  apiVersion: z.literal("godwit/v1"),
  kind: z.literal("Report"),
  id: z.string(),
  vm: z.string(),
  source: z.string(),
  target: z.string(),
  technique: techniqueName,
  /** The technique that finished it, when a rule or policy switched. */
  finished_by: techniqueName,
  path: z.enum(["direct", "relay"]),
  /** Why it went that way, with the numbers it was decided by; absent when it ended before. */
  path_reason: z.string().optional(),
  reason: z.string(),
  outcome,
  code: z.string().nullable(),
  started_at: z.iso.datetime(),
  settings: migrateSettings,
  environment: z.strictObject({
    qemu_source: z.string(),
    qemu_target: z.string(),
    accelerator: z.string(),
    ram_bytes: z.number(),
    vcpus: z.number(),
    link: z.strictObject({
      shaped: z.boolean(),
      rate_bytes_per_second: measured,
      delay_ms: measured,
      note: z.string(),
    }),
  }),
  /** t0 on the source machine's CLOCK_MONOTONIC (nanoseconds, decimal text), for whoever measured on the same clock. */
  clock: z.strictObject({ boot_id: z.string(), t0_ns: z.string().regex(/^\d+$/) }),
  timeline: z.array(timelineEntry),
  metrics,
  rounds: z.array(roundRecord),
  pages: z.strictObject({
    zero: measured,
    raw: measured,
    compressed: measured,
    delta: measured,
    duplicate: measured,
    unchanged: measured,
    referenced: measured,
  }),
  cpu_seconds: z.strictObject({
    relay_source: measured,
    relay_target: measured,
    qemu_source: measured,
    qemu_target: measured,
  }),
  forecast: z.unknown().nullable(),
  /** Absent where nobody outside probed the guest. */
  client_latency: clientLatency.optional(),
  correctness,
  notes: z.array(z.string()),
});
export type Report = z.infer<typeof report>;

/** What an observer outside the agents adds to a finished report (POST /migrations/{id}/observations). */
export const observation = z.strictObject({
  observer: z.string().min(1).max(64),
  downtime_ms: z
    .strictObject({ client: z.number().nonnegative(), guest: z.number().nonnegative() })
    .partial()
    .optional(),
  disruption_ms: z.strictObject({ span: z.number().nonnegative(), sum: z.number().nonnegative() }).optional(),
  degradation_ratio: z.number().optional(),
  link: report.shape.environment.shape.link.optional(),
  client_latency: clientLatency.optional(),
  correctness: correctness.optional(),
  notes: z.array(z.string().max(500)).max(32).default([]),
});
export type Observation = z.infer<typeof observation>;
