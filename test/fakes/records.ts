/** Migrations as an agent's store holds them. */
import type { MigrationRecord } from "../../src/agent/store.ts";
import { noEvidence } from "../../src/agent/evidence.ts";
import { migrateSettings } from "../../src/api/migration.ts";
import type { Source } from "../../src/migration/source-types.ts";
import { machine } from "./fixtures.ts";

export interface RecordParts {
  readonly id: string;
  readonly vm?: string;
  readonly startedAt?: string;
  readonly state?: Source;
}

export const aborted = {
  phase: "aborted",
  outcome: "failed",
  code: "PEER_UNREACHABLE",
  reason: "the link broke",
} as const;

export const recordOf = ({
  id,
  vm = "db-1",
  startedAt = "2026-01-02T03:04:05.000Z",
  state = { phase: "done" },
}: RecordParts): MigrationRecord => ({
  id,
  side: "source",
  vm,
  peer: "b",
  settings: migrateSettings.parse({}),
  startedAt,
  t0Ns: "1000000000",
  bootId: "boot-1",
  timeline: [
    { atNs: "1000000000", what: "accepted" },
    { atNs: "1500000000", what: "source copying" },
  ],
  origin: { machine, accelerator: "tcg", qemuVersion: "7.2.0", targetQemuVersion: "7.2.0" },
  evidence: noEvidence,
  state,
  voidOwed: false,
});
