/**
 * What a client asks of a migration, and what it is shown while one runs.
 * Field names carry their units. The same values serve the CLI, the HTTP API and the TypeScript client.
 */
import { z } from "zod";

import { vmName } from "./machine.ts";
import { nativeWire, wireChoice, wireCounters } from "./wire.ts";

export const TECHNIQUES = ["stop-and-copy", "pre-copy", "post-copy", "hybrid"] as const;
export const techniqueName = z.enum(TECHNIQUES);
export type TechniqueName = z.infer<typeof techniqueName>;

/** What may be asked for: one of them, or whichever the agent expects to be over soonest. */
export const TECHNIQUE_CHOICES = [...TECHNIQUES, "auto"] as const;
export const techniqueChoice = z.enum(TECHNIQUE_CHOICES);
export type TechniqueChoice = z.infer<typeof techniqueChoice>;

/** One thing a policy may do when copying does not converge. */
export const policyAction = z.discriminatedUnion("do", [
  /** Allow this pause at switchover. */
  z.strictObject({ do: z.literal("set-downtime"), downtimeMs: z.number().positive().max(2_000_000) }),
  /** Slow the guest's vCPUs down, up to this share of their time. */
  z.strictObject({ do: z.literal("throttle"), percentMax: z.int().min(1).max(99) }),
  /** Run at the target and fetch the rest. */
  z.strictObject({ do: z.literal("post-copy") }),
  /** Pause now whatever remains, if the pause is expected to stay under the ceiling; else the next item, or give up. */
  z.strictObject({ do: z.literal("force"), downtimeCeilingMs: z.number().positive().max(2_000_000) }),
  z.strictObject({ do: z.literal("cancel") }),
]);
export type PolicyAction = z.infer<typeof policyAction>;

/** An ordered ladder in the shape of oVirt's migration policies: first items, items per stalled round, last items. */
export const migrationPolicy = z.strictObject({
  initial: z.array(policyAction).max(8).default([]),
  convergence: z
    .array(z.strictObject({ stalledRounds: z.int().min(1).max(1000), action: policyAction }))
    .max(16)
    .default([]),
  last: z
    .array(policyAction)
    .max(8)
    .default([{ do: "cancel" }]),
});
export type MigrationPolicy = z.infer<typeof migrationPolicy>;

/** The three classic stop rules of pre-copy (Clark et al., NSDI 2005); whichever fires first. */
export const stopRules = z.strictObject({
  rounds: z.int().min(1).max(10_000).optional(),
  /** Bytes sent as a factor of the VM's RAM. */
  bytesFactor: z.number().positive().max(1000).optional(),
  /** Stop when no more than this is dirty. Fires "switch over", the other two fire the policy's last items. */
  remainingBytes: z.number().nonnegative().optional(),
});
export type StopRules = z.infer<typeof stopRules>;

export const switchRule = z.discriminatedUnion("when", [
  z.strictObject({ when: z.literal("after-rounds"), rounds: z.int().min(1).max(1000) }),
  /** When dirty bytes stop shrinking from round to round. */
  z.strictObject({ when: z.literal("stalled") }),
  /** When the stall expected from fetching is shorter than the pause expected from copying on. */
  z.strictObject({ when: z.literal("shorter-stall") }),
]);
export type SwitchRule = z.infer<typeof switchRule>;

export const migrateSettings = z.strictObject({
  technique: techniqueName.default("pre-copy"),
  /** Cap for every byte this migration sends; absent means as fast as the link goes. */
  bandwidthBytesPerSecond: z.number().positive().optional(),
  /** The pause asked for. Never exceeded on purpose unless a ceiling below says so. */
  maxDowntimeMs: z.number().positive().max(2_000_000).default(300),
  /** Adapt the allowed pause to the history of the writable working set, up to this. */
  adaptiveDowntimeCeilingMs: z.number().positive().max(2_000_000).optional(),
  stopRules: stopRules.prefault({}),
  switchRule: switchRule.default({ when: "after-rounds", rounds: 1 }),
  timeoutMs: z.number().positive().optional(),
  policy: migrationPolicy.prefault({}),
  /** Compare the guest's whole memory on both hosts while it is stopped. Lengthens the pause; not with post-copy. */
  verifyMemory: z.boolean().default(false),
  /** Through the relays, from QEMU to QEMU, or whichever measurement favours. */
  wire: wireChoice.default("auto"),
  /** How QEMU itself carries a direct stream. */
  native: nativeWire.optional(),
});
export type MigrateSettings = z.infer<typeof migrateSettings>;

export const migrateRequest = z.strictObject({
  target: z.string().min(1),
  ...migrateSettings.shape,
  technique: techniqueChoice.default("pre-copy"),
});
export type MigrateRequest = z.infer<typeof migrateRequest>;

/** Phases a person can be told on the telephone. Source and target each have theirs; `Migration` in src/migration. */
export const PHASES = [
  "preparing",
  "copying",
  "switching",
  "handing-over",
  "handed-over",
  "fetching",
  "fetch-paused",
  "cancelling",
  "done",
  "aborted",
  "needs-person",
] as const;
export const phaseName = z.enum(PHASES);
export type PhaseName = z.infer<typeof phaseName>;

export const OUTCOMES = ["done", "failed", "cancelled", "timed-out", "needs-person"] as const;
export const outcome = z.enum(OUTCOMES);
export type Outcome = z.infer<typeof outcome>;

/** What can be shown of a running migration. `fraction` never decreases. */
export const progress = z.strictObject({
  phase: phaseName,
  /** 0..1, monotonic for the life of a migration. */
  fraction: z.number().min(0).max(1),
  round: z.int().nonnegative(),
  ramBytes: z.number(),
  sentBytes: z.number(),
  remainingBytes: z.number(),
  sendBytesPerSecond: z.number(),
  dirtyBytesPerSecond: z.number(),
  throttlePercent: z.number(),
  elapsedMs: z.number(),
  /** Expected time left: most likely, and a range. Absent while nothing can be said. */
  eta: z.strictObject({ ms: z.number(), lowMs: z.number(), highMs: z.number() }).optional(),
  /** One sentence that says what limits it now. */
  limit: z.string(),
  /** What the relays made of the stream; absent on the direct way. */
  wire: wireCounters.optional(),
});
export type Progress = z.infer<typeof progress>;

export const migrationView = z.strictObject({
  id: z.string(),
  vm: vmName,
  source: z.string(),
  target: z.string(),
  technique: techniqueName,
  /** Which side this agent plays. */
  side: z.enum(["source", "target"]),
  /** The way its bytes go, once it is chosen, and why. */
  path: z.enum(["direct", "relay"]).optional(),
  pathReason: z.string().optional(),
  phase: phaseName,
  outcome: outcome.optional(),
  /** Why it ended as it did, or what it waits for. */
  reason: z.string().optional(),
  code: z.string().optional(),
  startedAt: z.iso.datetime(),
  progress: progress.optional(),
  /** In lists, of one that has a report: what it came to. */
  figures: z.strictObject({ totalMs: z.number().nullable(), pauseMs: z.number().nullable() }).optional(),
});
export type MigrationView = z.infer<typeof migrationView>;
