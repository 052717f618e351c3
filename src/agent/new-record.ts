/** What is journaled of a migration when it begins, on either side. */
import { randomUUID } from "node:crypto";

import type { HostFacts } from "../api/host.ts";
import type { MigrateRequest } from "../api/migration.ts";
import type { HostState, PrepareRequest } from "../api/peer-routes.ts";
import { bootId, nowNs } from "./clock.ts";
import { noEvidence } from "./evidence.ts";
import { commonTo } from "./facts.ts";
import type { MigrationRecord, VmRecord } from "./store.ts";

export interface BothFacts {
  readonly source: HostFacts;
  readonly target: HostFacts;
  readonly targetState: HostState;
}

interface Accepted {
  readonly request: MigrateRequest;
  readonly vm: VmRecord;
  readonly facts: BothFacts;
  readonly t0Ns: bigint;
}

/** What is asked for, as long as the agent has not decided (outgoing-way.ts). */
export const copied = <T extends Pick<MigrateRequest, "technique">>({ technique, ...asked }: T) => ({
  ...asked,
  technique: technique === "auto" ? ("pre-copy" as const) : technique,
});

export function sourceRecord({
  request: { target: peer, ...asked },
  vm: { name, machine, accelerator },
  facts: { source, target, targetState },
  t0Ns,
}: Accepted): Extract<MigrationRecord, { side: "source" }> {
  return {
    id: `${name.slice(0, 20).replaceAll(".", "-")}-${randomUUID().slice(0, 8)}`,
    side: "source",
    vm: name,
    peer,
    settings: copied(asked),
    startedAt: new Date().toISOString(),
    t0Ns: String(t0Ns),
    bootId,
    timeline: [{ atNs: String(t0Ns), what: "accepted" }],
    origin: {
      machine,
      accelerator,
      qemuVersion: source.qemu.version,
      targetQemuVersion: target.qemu.version,
      targetState,
      ...commonTo(source, target),
    },
    evidence: noEvidence,
    state: { phase: "preparing" },
    voidOwed: false,
  };
}

export function targetRecord(
  { id, machine, source, settings }: PrepareRequest,
  traceparent: string | undefined,
): Extract<MigrationRecord, { side: "target" }> {
  return {
    id,
    side: "target",
    vm: machine.metadata.name,
    peer: source,
    settings,
    startedAt: new Date().toISOString(),
    t0Ns: String(nowNs()),
    bootId,
    timeline: [],
    ...(traceparent === undefined ? {} : { traceparent }),
    state: { phase: "preparing" },
  };
}
