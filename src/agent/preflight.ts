/** Gathers what the pre-flight check needs from both hosts and from the running QEMU; what it means is in qemu/check.ts. */
import type { Finding, HostFacts } from "../api/host.ts";
import type { MachineSpec } from "../api/machine.ts";
import type { MigrateSettings } from "../api/migration.ts";
import { type HostState, peerRoutes } from "../api/peer-routes.ts";
import { blockers, findings } from "../qemu/check.ts";
import { missingHere } from "../qemu/missing.ts";
import type { QemuProcess } from "../qemu/types.ts";
import type { Peer } from "./peers.ts";

/** A copy that was given up holds its name there until its QEMU may end: seconds, where the source was long in letting go of it. */
const CHECK_TIMEOUT_MS = 30_000;

export interface VmNow {
  readonly machine: MachineSpec;
  readonly accelerator: "kvm" | "tcg";
  /** Undefined: it does not run. */
  readonly qemu: QemuProcess | undefined;
}

export async function preflight(
  { machine, accelerator, qemu }: VmNow,
  sourceFacts: Promise<HostFacts>,
  peer: Peer,
  settings: MigrateSettings,
): Promise<{ source: HostFacts; target: HostFacts; targetState: HostState; found: Finding[] }> {
  const [source, answer] = await Promise.all([
    sourceFacts,
    peer.call(peerRoutes.peerCheck, { body: { machine }, timeoutMs: CHECK_TIMEOUT_MS }),
  ]);
  const { facts: target, state: targetState, vmNames: targetVmNames, missing: missingAtTarget } = answer;
  const found = [
    ...findings({ machine, accelerator, source, target, settings, targetVmNames, missingAtTarget }),
    ...(qemu === undefined ? [] : await blockers(qemu.qmp)),
  ];
  return { source, target, targetState, found };
}

/** What this host does not have of a machine, in words. */
export async function lacksOf(machine: MachineSpec): Promise<string[]> {
  const { files, bridges } = await missingHere(machine);
  return [...files, ...bridges.map((bridge) => `bridge ${bridge}`)];
}
