/**
 * What the source's agent saw of a migration, gathered while it runs. JSON, journaled with the migration, so that a
 * restarted agent still writes a true report.
 */
import type { Round } from "../migration/types.ts";
import type { MigrationInfo } from "../qmp/commands.ts";
import type { WireCounters as Counted } from "../api/wire.ts";
import type { WireCounters } from "./counters.ts";

export interface Evidence {
  /** Where the target's QEMU listens. */
  readonly address: string;
  readonly port: number;
  readonly rounds: readonly Round[];
  readonly countersAtStart?: WireCounters | undefined;
  readonly countersAtEnd?: WireCounters | undefined;
  readonly qemuCpuAtStart?: number;
  readonly qemuCpuAtEnd?: number;
  readonly qemuInfo?: MigrationInfo;
  /** What this side's relays made of the stream. */
  readonly wire?: Counted;
  /** No fraction shown so far was above this. */
  readonly fractionBound?: number;
  readonly memoryDigests?: { readonly source: string; readonly target: string };
}

export const noEvidence: Evidence = { address: "", port: 0, rounds: [] };
