/** What the two hands of a source's run may see and say: the one to the target's agent, the one to its own QEMU. */
import type { SourceEvent } from "../migration/source-types.ts";
import type { ChosenTechnique } from "../migration/technique-choice.ts";
import type { Chosen } from "../migration/wire-choice.ts";
import type { Standby } from "../relay/standby.ts";
import type { AgentConfig } from "./config.ts";
import type { EventHub } from "./events.ts";
import type { Evidence } from "./evidence.ts";
import type { GuestBook } from "./guest-book.ts";
import type { LinkBook } from "./link-book.ts";
import type { Log } from "./log.ts";
import type { Looks } from "./memory-change.ts";
import type { CpuMeter } from "./cpu.ts";
import type { Peer } from "./peers.ts";
import type { RelaySide } from "./relay-side.ts";
import type { MigrationRecord, Store } from "./store.ts";
import type { Vms } from "./vms.ts";

export interface SourceDeps {
  readonly config: AgentConfig;
  readonly store: Store;
  readonly hub: EventHub;
  readonly vms: Vms;
  readonly log: Log;
  readonly standby?: Standby | undefined;
  readonly peer: Peer;
  readonly cpu: CpuMeter;
  readonly links: LinkBook;
  readonly guests: GuestBook;
}

export type SourceRecord = Extract<MigrationRecord, { side: "source" }>;

export interface Run {
  readonly id: string;
  readonly deps: SourceDeps;
  readonly record: SourceRecord;
  /** Aborted when the agent goes down: nothing is said or done after it. */
  readonly signal: AbortSignal;
  readonly relay: RelaySide;
  dispatch(event: SourceEvent): void;
  note(what: string, atNs?: bigint): void;
  saw(more: Partial<Evidence>): void;
  /** Where the technique is the agent's choice: of the guest's memory. */
  readonly looks: Looks | undefined;
  /** Before the target listens. */
  decided(technique: ChosenTechnique): void;
  /** Journaled before anything is done about it. */
  chose(wire: Chosen): void;
  /** The target has (not) yet promised never to run its copy. */
  owe(voidOwed: boolean): void;
  wait(ms: number): Promise<void>;
}
