/**
 * What every campaign does with its guest: starts it on the first of two hosts, moves it to the other one and back, and
 * asks the observers about each move. Acts only.
 */
import type { z } from "zod";

import { connectAgent, type GodwitClient } from "../api/client.ts";
import { migrateRequest } from "../api/migration.ts";
import type { Observation, Report } from "../api/report.ts";
import { type GuestRequest, runGuest, stopGuest, whereIs } from "../lab/guests.ts";
import { type LabHost, type LabState, loadLab } from "../lab/lab.ts";
import { type ObservedWindow, observe } from "../lab/observe/observe.ts";
import { CodedError } from "../std/errors.ts";

export const HOSTS = ["a", "b"] as const;
export const VM = "guest";

export type Settings = Omit<z.input<typeof migrateRequest>, "target">;

export interface Place {
  readonly vm: string;
  readonly host: LabHost;
  readonly target: string;
  readonly client: GodwitClient;
}

export async function startGuest(lab: LabState, request: Omit<GuestRequest, "name" | "host">): Promise<void> {
  await runGuest(lab, { ...request, name: VM, host: HOSTS[0] });
}

/** After a run that ended nobody knows how, the next one must not inherit its guest. */
export async function endGuest(lab: LabState, name: string = VM): Promise<void> {
  if (loadLab(lab.name).guests.some((guest) => guest.name === name)) await stopGuest(lab, name);
}

/** Where the guest is now and where it goes next. */
export async function placeOf(lab: LabState, vm: string = VM): Promise<Place> {
  const from = await whereIs(lab, vm);
  const host = lab.hosts.find(({ name }) => name === from);
  if (host === undefined) throw new CodedError("VM_UNKNOWN", { vm, where: "both hosts" });
  const target = HOSTS.find((name) => name !== from) ?? HOSTS[1];
  return { vm, host, target, client: connectAgent(host.socket) };
}

/** One migration, followed to its end. @throws when it was refused. */
export async function move(
  { vm, client, target }: Place,
  settings: Settings,
  signal: AbortSignal,
): Promise<Report> {
  const body = migrateRequest.parse({ target, ...settings });
  const { id } = await client.migrate({ params: { name: vm }, body, signal });
  for await (const _ of client.follow(id, signal)) {
    // only its end matters here
  }
  return client.report({ params: { id } });
}

/** t0 and t6; a migration that never settled ends now. */
export function spanOf(report: Report): { readonly t0Ns: bigint; readonly t6Ns: bigint } {
  const t0Ns = BigInt(report.clock.t0_ns);
  const { total_time_ms: totalMs } = report.metrics;
  const t6Ns = totalMs === null ? process.hrtime.bigint() : t0Ns + BigInt(Math.ceil(totalMs * 1e6));
  return { t0Ns, t6Ns };
}

/** What the observers saw, with what `also` adds, into the report. */
export async function withObservers(
  lab: LabState,
  { vm, client }: Place,
  report: Report,
  window: Omit<ObservedWindow, "t0Ns" | "t6Ns">,
  also: (seen: Observation) => Observation | Promise<Observation> = (seen) => seen,
): Promise<Report> {
  const seen = await observe(loadLab(lab.name), vm, { ...spanOf(report), ...window });
  return client.observe({ params: { id: report.id }, body: await also(seen) });
}
