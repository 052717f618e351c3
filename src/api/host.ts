/** What an agent says about its host and its VMs, and the pre-flight report. */
import { z } from "zod";

import { clientLatency } from "./latency.ts";
import { machineSpec, vmName } from "./machine.ts";
import { migrationView } from "./migration.ts";

export const hostFacts = z.strictObject({
  name: z.string(),
  godwit: z.string(),
  /** Equal on two hosts exactly when they are one machine: then their monotonic clocks are one clock. */
  bootId: z.string(),
  qemu: z.strictObject({
    binary: z.string(),
    version: z.string(),
    accelerators: z.array(z.enum(["kvm", "tcg"])),
    machines: z.array(z.string()),
    cpus: z.array(z.string()),
    capabilities: z.array(z.string()),
    /** What multifd can compress with; absent from agents that do not ask. */
    compressions: z.array(z.string()).optional(),
  }),
  memory: z.strictObject({ totalBytes: z.number(), availableBytes: z.number() }),
  vcpus: z.number(),
  /** Empty when post-copy can arrive here, else why it cannot. */
  postCopyBlocker: z.string(),
  stateDiskFreeBytes: z.number(),
});
export type HostFacts = z.infer<typeof hostFacts>;

export const VM_STATES = ["running", "paused", "migrating", "incoming", "stopped", "lost"] as const;

export const vmView = z.strictObject({
  name: vmName,
  host: z.string(),
  state: z.enum(VM_STATES),
  /** The one host allowed to run it, as this agent's journal has it. */
  owner: z.string(),
  memoryBytes: z.number(),
  vcpus: z.number(),
  accelerator: z.string(),
  pid: z.number().nullable(),
  migration: z.string().nullable(),
  machine: machineSpec,
  /** Paths on that host, for console and logs. */
  consoleSocket: z.string(),
});
export type VmView = z.infer<typeof vmView>;

export const peerView = z.strictObject({
  name: z.string(),
  address: z.string(),
  reachable: z.boolean(),
  detail: z.string(),
});
export type PeerView = z.infer<typeof peerView>;

/** One finding of the pre-flight check. `blocker` stops a migration, `warning` does not. */
export const finding = z.strictObject({
  code: z.string(),
  severity: z.enum(["blocker", "warning"]),
  what: z.string(),
  next: z.string(),
});
export type Finding = z.infer<typeof finding>;

export const checkReport = z.strictObject({
  vm: vmName,
  source: z.string(),
  target: z.string(),
  ok: z.boolean(),
  findings: z.array(finding),
});
export type CheckReport = z.infer<typeof checkReport>;

/** problem+json (RFC 9457) with godwit's stable code and the next step. */
export const problem = z.object({
  type: z.string(),
  title: z.string(),
  status: z.number(),
  code: z.string(),
  detail: z.string(),
  next: z.string(),
  details: z.record(z.string(), z.unknown()).default({}),
});
export type Problem = z.infer<typeof problem>;

/** What GET /events carries. */
export const agentEvent = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("migration"), migration: migrationView }),
  z.strictObject({ type: z.literal("vm"), vm: vmView }),
  z.strictObject({ type: z.literal("vm-gone"), name: z.string() }),
  /** What a client waits since the migration began; each one holds all of those before it. */
  z.strictObject({ type: z.literal("latency"), migration: z.string(), latency: clientLatency }),
  /** The listener was too slow or asked for events no longer kept: read the state again. */
  z.strictObject({ type: z.literal("missed") }),
]);
export type AgentEvent = z.infer<typeof agentEvent>;
