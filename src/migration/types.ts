/**
 * The words the decision room speaks. Nothing here knows QEMU: a guest can be paused, its memory copied while it
 * runs ("copy"), and fetched after it runs elsewhere ("fetch"). Other kinds of guest fit behind the same words.
 */
import type { MigrateSettings, TechniqueName } from "../api/migration.ts";
import type { WirePlan } from "../api/wire.ts";

/** What a source or target must be able to do for a technique. */
export type Capability = "pause" | "pre-copy" | "post-copy";

/** One finished pass over dirty memory. */
export interface Round {
  readonly round: number;
  readonly startMs: number;
  readonly durationMs: number;
  readonly sentBytes: number;
  /** Dirty when it ended, as counted by the dirty log: what the next round has to send. */
  readonly dirtyBytes: number;
  readonly dirtyBytesPerSecond: number;
  readonly sendBytesPerSecond: number;
  readonly throttlePercent: number;
}

/** The newest reading of a running copy or fetch; about ten a second, and one at each round's end. */
export interface CopySample {
  readonly round: number;
  readonly ramBytes: number;
  readonly sentBytes: number;
  readonly remainingBytes: number;
  readonly sendBytesPerSecond: number;
  readonly dirtyBytesPerSecond: number;
  readonly throttlePercent: number;
  /** The pause the copier is allowed now; it switches over by itself when it expects to need no more. */
  readonly downtimeLimitMs: number;
}

/** All a technique may look at. */
export interface CopyView {
  readonly nowMs: number;
  readonly startedAtMs: number;
  readonly rounds: readonly Round[];
  readonly sample: CopySample;
}

/** How a technique begins. */
export interface Opening {
  /** Pause the guest before the first byte. */
  readonly pauseFirst: boolean;
  /** Run at the target as soon as the copy has begun. */
  readonly fetchAtOnce: boolean;
  /** Pause allowed from the start. 1 ms means: do not switch over before being told. */
  readonly downtimeLimitMs: number;
}

/** What to do now; `because` is the sentence for people and the report's timeline. */
export type Decision =
  | { readonly do: "continue" }
  | { readonly do: "set-downtime"; readonly downtimeMs: number; readonly because: string }
  | { readonly do: "pause"; readonly because: string }
  | { readonly do: "fetch"; readonly because: string }
  | { readonly do: "throttle"; readonly percentMax: number; readonly because: string }
  | { readonly do: "give-up"; readonly outcome: "timed-out" | "cancelled"; readonly because: string };

/** A technique: one file in techniques/, one line in the table there. */
export interface Technique {
  readonly name: TechniqueName;
  readonly summary: string;
  readonly needs: readonly Capability[];
  opening(settings: MigrateSettings, path?: WirePlan["path"]): Opening;
  /** Pure: the same view and memory give the same answer. */
  decide(view: CopyView, settings: MigrateSettings, memory: DeciderMemory): Decided;
}

/** Which rule ended plain copying: from then on the policy's last items run. */
export interface Fired {
  readonly by: "stalled" | "rounds" | "bytes" | "timeout";
  /** The rule in words. */
  readonly because: string;
}

/** What the decider remembers between calls; JSON, so that a journal can hold it. */
export interface DeciderMemory {
  /** The pause asked for has been allowed after the short first one. */
  readonly askedAllowed: boolean;
  /** Rounds whose end has been judged already. */
  readonly judgedRounds: number;
  /** Rounds in a row that brought no new minimum of dirty bytes. */
  readonly stalledRounds: number;
  readonly leastDirtyBytes: number | null;
  /** Index of the next item of each of the policy's lists. */
  readonly nextInitial: number;
  readonly nextConvergence: number;
  readonly nextLast: number;
  /** When the newest last item acted: it is given until the next round's end. */
  readonly lastItem: { readonly round: number; readonly atMs: number } | null;
  /** When the ladder slowed the guest down: that needs rounds and seconds to rise. */
  readonly throttledAtMs: number | null;
  /** Replaced only by a stronger rule. */
  readonly fired: Fired | null;
  /** The decision that ended copying. Nothing but "continue" is said after it. */
  readonly ended: "pause" | "fetch" | "give-up" | null;
}

export interface Decided {
  readonly decision: Decision;
  readonly memory: DeciderMemory;
}

export const freshMemory: DeciderMemory = {
  askedAllowed: false,
  judgedRounds: 0,
  stalledRounds: 0,
  leastDirtyBytes: null,
  nextInitial: 0,
  nextConvergence: 0,
  nextLast: 0,
  lastItem: null,
  throttledAtMs: null,
  fired: null,
  ended: null,
};
