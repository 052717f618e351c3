/**
 * Every path for people and programs, named once, on the unix socket and on the listener with tokens. The server registers
 * them, the client calls them, the OpenAPI document is made of them. What agents ask each other is in peer-routes.ts.
 */
import { z } from "zod";

import { newToken, tokenName, tokenRequest, tokenView, whoami, type Access } from "./access.ts";
import { auditPage, auditVerification } from "./audit.ts";
import { checkReport, hostFacts, peerView, vmView } from "./host.ts";
import { clientLatency } from "./latency.ts";
import { machineSpec, vmName } from "./machine.ts";
import { migrateRequest, migrationView, OUTCOMES } from "./migration.ts";
import { pageOf, pageQuery } from "./pages.ts";
import { recording, recordingsPage } from "./recording.ts";
import { observation, report } from "./report.ts";

export interface Route {
  readonly method: "GET" | "POST" | "DELETE";
  readonly path: string;
  readonly summary: string;
  /** What its caller must be allowed. */
  readonly right: Access;
  /** A POST that only asks, or tells what is kept nowhere. */
  readonly changesNothing?: true;
  /** Begins something that needs room in the agent's store: refused while its disk is full. */
  readonly startsWork?: true;
  /** Its answer is not kept for an Idempotency-Key. */
  readonly secret?: true;
  readonly params?: z.ZodType;
  readonly query?: z.ZodType;
  readonly body?: z.ZodType;
  readonly status: 200 | 201 | 202 | 204;
  readonly answer: z.ZodType;
}

const byName = z.strictObject({ name: vmName });
export const byId = z.strictObject({ id: z.string().regex(/^[a-z0-9-]{1,64}$/) });

export const localRoutes = {
  host: {
    method: "GET",
    path: "/host",
    summary: "This host: facts about QEMU and memory, and whether its peers can be reached",
    right: "read",
    status: 200,
    answer: z.strictObject({ facts: hostFacts, peers: z.array(peerView) }),
  },
  vms: {
    method: "GET",
    path: "/vms",
    summary: "VMs of this host, or with scope=all also those of its peers",
    right: "read",
    query: z.strictObject({
      scope: z.enum(["host", "all"]).default("host"),
      /** Without it all are told. The next page's cursor is in the Link header. */
      limit: pageQuery.limit.unwrap().optional(),
      cursor: pageQuery.cursor,
    }),
    status: 200,
    answer: z.array(vmView),
  },
  run: {
    method: "POST",
    path: "/vms",
    summary: "Start a VM from a machine spec",
    right: "administer",
    startsWork: true,
    body: machineSpec,
    status: 201,
    answer: vmView,
  },
  vm: {
    method: "GET",
    path: "/vms/:name",
    summary: "One VM",
    right: "read",
    params: byName,
    status: 200,
    answer: vmView,
  },
  stop: {
    method: "DELETE",
    path: "/vms/:name",
    summary: "End a VM's QEMU and forget the VM",
    right: "administer",
    params: byName,
    status: 200,
    answer: vmView,
  },
  pause: {
    method: "POST",
    path: "/vms/:name/pause",
    summary: "Pause a VM for a known time and resume it: what observers are calibrated with",
    right: "administer",
    params: byName,
    body: z.strictObject({ ms: z.number().positive().max(10_000) }),
    status: 200,
    answer: z.strictObject({ pausedAtNs: z.string().regex(/^\d+$/), resumedAtNs: z.string().regex(/^\d+$/) }),
  },
  check: {
    method: "POST",
    path: "/vms/:name/check",
    summary: "Pre-flight: every problem a migration would meet, at once; changes nothing",
    right: "send-from-here",
    changesNothing: true,
    params: byName,
    body: migrateRequest,
    status: 200,
    answer: checkReport,
  },
  migrate: {
    method: "POST",
    path: "/vms/:name/migrations",
    summary: "Start a migration; answers at once with its Location",
    right: "send-from-here",
    startsWork: true,
    params: byName,
    body: migrateRequest,
    status: 202,
    answer: migrationView,
  },
  migrations: {
    method: "GET",
    path: "/migrations",
    summary: "Migrations this agent took part in, newest first",
    right: "read",
    query: z.strictObject({
      ...pageQuery,
      vm: vmName.optional(),
      /** `active`: those without an outcome yet. */
      outcome: z.enum([...OUTCOMES, "active"]).optional(),
      /** Started at this time or later. */
      since: z.iso.datetime().optional(),
    }),
    status: 200,
    answer: pageOf(migrationView),
  },
  migration: {
    method: "GET",
    path: "/migrations/:id",
    summary: "One migration",
    right: "read",
    params: byId,
    status: 200,
    answer: migrationView,
  },
  report: {
    method: "GET",
    path: "/migrations/:id/report",
    summary: "The report of an ended migration",
    right: "read",
    params: byId,
    status: 200,
    answer: report,
  },
  observe: {
    method: "POST",
    path: "/migrations/:id/observations",
    summary: "Add what an outside observer measured to the report",
    right: "send-from-here",
    params: byId,
    body: observation,
    status: 200,
    answer: report,
  },
  tellLatency: {
    method: "POST",
    path: "/migrations/:id/latency",
    summary: "Tell those who watch a migration what a client outside the guest waits; kept only as an event",
    right: "send-from-here",
    changesNothing: true,
    params: byId,
    body: clientLatency,
    status: 200,
    answer: clientLatency,
  },
  cancel: {
    method: "POST",
    path: "/migrations/:id/cancel",
    summary: "Cancel; the VM stays at the source unless it was handed over already",
    right: "send-from-here",
    params: byId,
    status: 202,
    answer: migrationView,
  },
  recover: {
    method: "POST",
    path: "/migrations/:id/recover",
    summary: "Continue a post-copy migration whose connection broke",
    right: "send-from-here",
    params: byId,
    status: 202,
    answer: migrationView,
  },
  recording: {
    method: "GET",
    path: "/migrations/:id/recording",
    summary:
      "How a migration went, to be replayed: progress over time, thinned on long ones, and its timeline",
    right: "read",
    params: byId,
    status: 200,
    answer: recording,
  },
  recordings: {
    method: "GET",
    path: "/recordings",
    summary: "The recordings kept, newest first",
    right: "read",
    query: z.strictObject({ ...pageQuery, vm: vmName.optional() }),
    status: 200,
    answer: recordingsPage,
  },
  cleanup: {
    method: "POST",
    path: "/cleanup",
    summary: "Remove what ended or crashed migrations left behind; safe to repeat",
    right: "administer",
    status: 200,
    answer: z.strictObject({ removed: z.array(z.string()), kept: z.array(z.string()) }),
  },
  whoami: {
    method: "GET",
    path: "/whoami",
    summary: "Who the caller is to this agent, and what it may do",
    right: "identity",
    status: 200,
    answer: whoami,
  },
  tokens: {
    method: "GET",
    path: "/tokens",
    summary: "The tokens that are valid now, without their secrets",
    right: "administer",
    status: 200,
    answer: z.array(tokenView),
  },
  createToken: {
    method: "POST",
    path: "/tokens",
    summary: "Make a token; its secret is in this answer and nowhere else",
    right: "administer",
    secret: true,
    startsWork: true,
    body: tokenRequest,
    status: 201,
    answer: newToken,
  },
  revokeToken: {
    method: "DELETE",
    path: "/tokens/:name",
    summary: "Revoke a token; streams it has open end",
    right: "administer",
    params: z.strictObject({ name: tokenName }),
    status: 200,
    answer: tokenView,
  },
  audit: {
    method: "GET",
    path: "/audit",
    summary: "Every change and refusal, newest first",
    right: "administer",
    query: z.strictObject({ ...pageQuery, since: z.iso.datetime().optional() }),
    status: 200,
    answer: auditPage,
  },
  auditVerification: {
    method: "GET",
    path: "/audit/verification",
    summary: "Whether the audit log is whole: each entry's hash, the chain, and the head kept apart from it",
    right: "administer",
    status: 200,
    answer: auditVerification,
  },
} as const satisfies Record<string, Route>;
