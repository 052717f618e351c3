/**
 * Every path of the agent, named once. The server registers them, the client calls them, the OpenAPI document and
 * its test read them. Local routes answer on the unix socket; peer routes only on the mutually authenticated port.
 */
import { z } from "zod";

import { checkReport, hostFacts, peerView, vmView } from "./host.ts";
import { machineSpec, vmName } from "./machine.ts";
import { migrateRequest, migrateSettings, migrationView } from "./migration.ts";
import { observation, report, timelineEntry } from "./report.ts";

export interface Route {
  readonly method: "GET" | "POST" | "DELETE";
  readonly path: string;
  readonly summary: string;
  readonly params?: z.ZodType;
  readonly query?: z.ZodType;
  readonly body?: z.ZodType;
  readonly status: 200 | 201 | 202 | 204;
  readonly answer: z.ZodType;
}

const byName = z.strictObject({ name: vmName });
const byId = z.strictObject({ id: z.string().regex(/^[a-z0-9-]{1,64}$/) });

export const localRoutes = {
  host: {
    method: "GET",
    path: "/host",
    summary: "This host: facts about QEMU and memory, and whether its peers can be reached",
    status: 200,
    answer: z.strictObject({ facts: hostFacts, peers: z.array(peerView) }),
  },
  vms: {
    method: "GET",
    path: "/vms",
    summary: "VMs of this host, or with scope=all also those of its peers",
    query: z.strictObject({ scope: z.enum(["host", "all"]).default("host") }),
    status: 200,
    answer: z.array(vmView),
  },
  run: {
    method: "POST",
    path: "/vms",
    summary: "Start a VM from a machine spec",
    body: machineSpec,
    status: 201,
    answer: vmView,
  },
  vm: { method: "GET", path: "/vms/:name", summary: "One VM", params: byName, status: 200, answer: vmView },
  stop: {
    method: "DELETE",
    path: "/vms/:name",
    summary: "End a VM's QEMU and forget the VM",
    params: byName,
    status: 200,
    answer: vmView,
  },
  pause: {
    method: "POST",
    path: "/vms/:name/pause",
    summary: "Pause a VM for a known time and resume it: what observers are calibrated with",
    params: byName,
    body: z.strictObject({ ms: z.number().positive().max(10_000) }),
    status: 200,
    answer: z.strictObject({ pausedAtNs: z.string().regex(/^\d+$/), resumedAtNs: z.string().regex(/^\d+$/) }),
  },
  check: {
    method: "POST",
    path: "/vms/:name/check",
    summary: "Pre-flight: every problem a migration would meet, at once; changes nothing",
    params: byName,
    body: migrateRequest,
    status: 200,
    answer: checkReport,
  },
  migrate: {
    method: "POST",
    path: "/vms/:name/migrations",
    summary: "Start a migration; answers at once with its Location",
    params: byName,
    body: migrateRequest,
    status: 202,
    answer: migrationView,
  },
  migrations: {
    method: "GET",
    path: "/migrations",
    summary: "Migrations this agent took part in, newest first",
    query: z.strictObject({ limit: z.coerce.number().int().min(1).max(1000).default(100) }),
    status: 200,
    answer: z.array(migrationView),
  },
  migration: {
    method: "GET",
    path: "/migrations/:id",
    summary: "One migration",
    params: byId,
    status: 200,
    answer: migrationView,
  },
  report: {
    method: "GET",
    path: "/migrations/:id/report",
    summary: "The report of an ended migration",
    params: byId,
    status: 200,
    answer: report,
  },
  observe: {
    method: "POST",
    path: "/migrations/:id/observations",
    summary: "Add what an outside observer measured to the report",
    params: byId,
    body: observation,
    status: 200,
    answer: report,
  },
  cancel: {
    method: "POST",
    path: "/migrations/:id/cancel",
    summary: "Cancel; the VM stays at the source unless it was handed over already",
    params: byId,
    status: 202,
    answer: migrationView,
  },
  recover: {
    method: "POST",
    path: "/migrations/:id/recover",
    summary: "Continue a post-copy migration whose connection broke",
    params: byId,
    status: 202,
    answer: migrationView,
  },
  cleanup: {
    method: "POST",
    path: "/cleanup",
    summary: "Remove what ended or crashed migrations left behind; safe to repeat",
    status: 200,
    answer: z.strictObject({ removed: z.array(z.string()), kept: z.array(z.string()) }),
  },
} as const satisfies Record<string, Route>;

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

export const peerRoutes = {
  peerHost: {
    method: "GET",
    path: "/peer/host",
    summary: "Facts for the pre-flight check",
    status: 200,
    answer: hostFacts,
  },
  peerCheck: {
    method: "POST",
    path: "/peer/check",
    summary: "What this host has and lacks for a machine: facts for the pre-flight check",
    body: z.strictObject({ machine: machineSpec }),
    status: 200,
    answer: z.strictObject({
      facts: hostFacts,
      vmNames: z.array(vmName),
      missing: z.strictObject({
        files: z.array(z.string()).readonly(),
        bridges: z.array(z.string()).readonly(),
      }),
    }),
  },
  peerVms: {
    method: "GET",
    path: "/peer/vms",
    summary: "VMs of this host",
    status: 200,
    answer: z.array(vmView),
  },
  prepare: {
    method: "POST",
    path: "/peer/migrations",
    summary: "Reserve, start QEMU for an incoming migration and listen",
    body: prepareRequest,
    status: 201,
    answer: z.strictObject({ address: z.string(), port: z.int(), view: targetView }),
  },
  target: {
    method: "GET",
    path: "/peer/migrations/:id",
    summary: "The target's side of a migration",
    params: byId,
    status: 200,
    answer: targetView,
  },
  handOver: {
    method: "POST",
    path: "/peer/migrations/:id/hand-over",
    summary:
      "The source can no longer run the VM: accept ownership and run it, or say that this will never happen",
    params: byId,
    status: 200,
    answer: targetView,
  },
  digest: {
    method: "POST",
    path: "/peer/migrations/:id/digest",
    summary: "SHA-256 over the loaded, still stopped guest's memory",
    params: byId,
    status: 200,
    answer: z.strictObject({ sha256: z.string().regex(/^[0-9a-f]{64}$/) }),
  },
  voidTarget: {
    method: "POST",
    path: "/peer/migrations/:id/void",
    summary: "Promise never to run this copy, unless it was accepted already",
    params: byId,
    status: 200,
    answer: targetView,
  },
  recoverTarget: {
    method: "POST",
    path: "/peer/migrations/:id/recover",
    summary: "Listen again for a broken post-copy",
    params: byId,
    status: 200,
    answer: z.strictObject({ address: z.string(), port: z.int(), view: targetView }),
  },
} as const satisfies Record<string, Route>;
