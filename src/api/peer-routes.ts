/**
 * What agents ask each other, on the mutually authenticated port only: facts, and the target's side of a migration.
 */
import { z } from "zod";

import { hostFacts, vmView } from "./host.ts";
import { machineSpec, vmName } from "./machine.ts";
import { migrateSettings, techniqueName } from "./migration.ts";
import { timelineEntry } from "./report.ts";
import { byId, type Route } from "./routes.ts";
import { relayAccount, wirePlan } from "./wire.ts";

/** What a target answers about its side of a migration. */
export const targetView = z.strictObject({
  id: z.string(),
  phase: z.enum(["preparing", "receiving", "loaded", "accepted", "running", "done", "void", "lost"]),
  why: z.string(),
  /** Its events with raw CLOCK_MONOTONIC nanoseconds (decimal text) and the boot they belong to. */
  bootId: z.string(),
  events: z.array(z.strictObject({ atNs: z.string(), what: timelineEntry.shape.what })).max(1000),
  qemuCpuSeconds: z.number().nullable(),
  postcopyBlocktimeMs: z.number().nullable(),
  relay: relayAccount.nullable(),
});
export type TargetView = z.infer<typeof targetView>;

export const prepareRequest = z.strictObject({
  id: byId.shape.id,
  machine: machineSpec,
  source: z.string().max(63),
  sourceQemu: z.string().max(200),
  accelerator: z.enum(["kvm", "tcg"]),
  settings: migrateSettings,
});
export type PrepareRequest = z.infer<typeof prepareRequest>;

/** What a host has left for a migration, now. */
export const hostState = z.strictObject({
  cpus: z.number(),
  /** Idle over about the last second, 0 to `cpus`. */
  idleCpus: z.number(),
  /** A relay waits there, started and rehearsed. */
  relayWaits: z.boolean().default(false),
});
export type HostState = z.infer<typeof hostState>;

export const peerRoutes = {
  peerHost: {
    method: "GET",
    path: "/peer/host",
    summary: "Facts for the pre-flight check",
    right: "receive-here",
    status: 200,
    answer: hostFacts,
  },
  peerCheck: {
    method: "POST",
    path: "/peer/check",
    summary: "What this host has and lacks for a machine, and how busy it is: facts for the pre-flight check",
    right: "receive-here",
    changesNothing: true,
    body: z.strictObject({ machine: machineSpec }),
    status: 200,
    answer: z.strictObject({
      facts: hostFacts,
      vmNames: z.array(vmName),
      missing: z.strictObject({
        files: z.array(z.string()).readonly(),
        bridges: z.array(z.string()).readonly(),
      }),
      state: hostState,
    }),
  },
  peerLink: {
    method: "POST",
    path: "/peer/link",
    summary:
      "Counts the bytes of a burst, by which the source measures the link; tells how busy this host is, and whether a relay waits",
    right: "receive-here",
    changesNothing: true,
    /** application/octet-stream; the bytes are counted and dropped. */
    body: z.strictObject({ bytes: z.int() }),
    status: 200,
    answer: hostState.extend({ bytes: z.int() }),
  },
  peerVms: {
    method: "GET",
    path: "/peer/vms",
    summary: "VMs of this host",
    right: "receive-here",
    status: 200,
    answer: z.array(vmView),
  },
  prepare: {
    method: "POST",
    path: "/peer/migrations",
    summary:
      "Reserve, and begin to start QEMU for an incoming migration; the source chooses the way meanwhile",
    right: "receive-here",
    startsWork: true,
    body: prepareRequest,
    status: 201,
    answer: targetView,
  },
  listen: {
    method: "POST",
    path: "/peer/migrations/:id/listen",
    summary: "Start a relay where one is wanted, wait until QEMU is there, and listen",
    right: "receive-here",
    params: byId,
    /** The technique, where the source has decided on another one since. */
    body: z.strictObject({ wire: wirePlan, technique: techniqueName.optional() }),
    status: 200,
    answer: z.strictObject({
      address: z.string(),
      port: z.int(),
      view: targetView,
      /** Why QEMU itself listens although a relay was planned; only where the way was free to choose. */
      instead: z.string().optional(),
    }),
  },
  target: {
    method: "GET",
    path: "/peer/migrations/:id",
    summary: "The target's side of a migration",
    right: "receive-here",
    params: byId,
    status: 200,
    answer: targetView,
  },
  handOver: {
    method: "POST",
    path: "/peer/migrations/:id/hand-over",
    summary:
      "The source can no longer run the VM: accept ownership and run it, or say that this will never happen",
    right: "receive-here",
    params: byId,
    status: 200,
    answer: targetView,
  },
  digest: {
    method: "POST",
    path: "/peer/migrations/:id/digest",
    summary: "SHA-256 over the loaded, still stopped guest's memory",
    right: "receive-here",
    changesNothing: true,
    params: byId,
    status: 200,
    answer: z.strictObject({ sha256: z.string().regex(/^[0-9a-f]{64}$/) }),
  },
  voidTarget: {
    method: "POST",
    path: "/peer/migrations/:id/void",
    summary: "Promise never to run this copy, unless it was accepted already",
    right: "receive-here",
    params: byId,
    status: 200,
    answer: targetView,
  },
  recoverTarget: {
    method: "POST",
    path: "/peer/migrations/:id/recover",
    summary: "Listen again for a broken post-copy",
    right: "receive-here",
    params: byId,
    status: 200,
    answer: z.strictObject({ address: z.string(), port: z.int(), view: targetView }),
  },
} as const satisfies Record<string, Route>;
