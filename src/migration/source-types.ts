/**
 * The words of the source's half: its states, what can happen to it, and what it can ask for. JSON all of it, so that a
 * journal can hold a state. The transitions are in source.ts.
 */
import type { MigrateSettings } from "../api/migration.ts";
import type { WirePlan } from "../api/wire.ts";
import type { CopySample, DeciderMemory, Round, Technique } from "./types.ts";

/** How the guest's memory crosses: copied before it runs at the target, or fetched afterwards. */
export type Way = "copy" | "fetch";

/**
 * What is known of the offer to the target. `none`: no offer can have arrived, the guest may be taken back. `asking`:
 * one is under way. `arrived`: one may have arrived and its answer is missing; only the target can end the doubt.
 */
export type Doubt = "none" | "asking" | "arrived";

export interface Ending {
  readonly outcome: "failed" | "cancelled" | "timed-out";
  readonly code: string;
  readonly reason: string;
}

export type Source =
  | { readonly phase: "preparing" }
  | {
      readonly phase: "copying";
      readonly startedAtMs: number;
      readonly rounds: readonly Round[];
      readonly memory: DeciderMemory;
      /** The guest was paused by us (technique or rule), so nobody else will resume it. */
      readonly pauseAsked: boolean;
      readonly fetchAsked: boolean;
      readonly guestPaused: boolean;
    }
  | { readonly phase: "switching"; readonly pauseAsked: boolean; readonly fetchAsked: boolean }
  | {
      readonly phase: "handing-over";
      readonly way: Way;
      readonly doubt: Doubt;
      /** Our QEMU is gone: the target's copy is the only one. */
      readonly sourceLost: boolean;
      readonly undelivered: number;
      readonly cancelAsked: boolean;
      /** Post-copy only: the connection broke before the target answered. */
      readonly fetchBroken: boolean;
    }
  | {
      readonly phase: "handed-over";
      readonly way: Way;
      readonly sourceLost: boolean;
      readonly fetchBroken: boolean;
      readonly fetched: boolean;
    }
  | { readonly phase: "fetching" }
  | { readonly phase: "fetch-paused"; readonly why: string; readonly attempts: number }
  | {
      readonly phase: "cancelling";
      readonly ending: Ending;
      readonly copyEnded: boolean;
      readonly guestRuns: boolean;
    }
  | { readonly phase: "done" }
  | ({ readonly phase: "aborted" } & Ending)
  | { readonly phase: "needs-person"; readonly reason: string; readonly canTakeBack: boolean };

export type SourceEvent =
  /** `path`: absent, directly. */
  | { readonly type: "target-ready"; readonly nowMs: number; readonly path?: WirePlan["path"] }
  | { readonly type: "prepare-failed"; readonly code: string; readonly why: string }
  | { readonly type: "sample"; readonly nowMs: number; readonly sample: CopySample; readonly ended?: Round }
  | { readonly type: "guest-paused" }
  | { readonly type: "guest-running" }
  /** All state was delivered and loaded; this QEMU cannot resume by itself any more. */
  | { readonly type: "copy-completed" }
  | { readonly type: "copy-ended"; readonly why: string }
  /** Device state is on its way; memory follows on demand. */
  | { readonly type: "fetch-started" }
  | { readonly type: "fetch-broken"; readonly why: string }
  | { readonly type: "fetch-resumed" }
  /** QEMU does not let go of a fetch that nobody will end. */
  | { readonly type: "unwind-failed"; readonly why: string }
  | { readonly type: "target-accepted" }
  | { readonly type: "target-running" }
  /** It runs the guest and needs nothing of the source any more. */
  | { readonly type: "target-done" }
  | { readonly type: "target-void"; readonly why: string }
  | { readonly type: "target-lost"; readonly why: string }
  | { readonly type: "offer-due" }
  /** It provably never arrived. */
  | { readonly type: "offer-undelivered"; readonly why: string }
  /** `incomplete`: the target answered, after a wait, that it has not loaded everything. */
  | { readonly type: "offer-unanswered"; readonly why: string; readonly incomplete?: boolean }
  | { readonly type: "source-lost"; readonly why: string }
  | { readonly type: "cancel"; readonly nowMs: number }
  | { readonly type: "recover" }
  | { readonly type: "recover-failed"; readonly why: string }
  | { readonly type: "take-back" }
  /** First event after an agent restart: what QEMU was found doing. */
  | { readonly type: "restarted"; readonly found: Found };

/** What a restarted agent finds. `copy` is the state of the outgoing copy as QEMU tells it. */
export type Found =
  | { readonly qemu: "gone" }
  | {
      readonly qemu: "alive";
      readonly guestRuns: boolean;
      readonly copy: "none" | "active" | "completed" | "ended" | "fetching" | "fetch-broken";
    };

export type SourceEffect =
  | { readonly do: "prepare-target" }
  | { readonly do: "start-copy"; readonly downtimeLimitMs: number }
  | { readonly do: "pause-guest" }
  | { readonly do: "resume-guest" }
  | { readonly do: "start-fetch" }
  | { readonly do: "set-downtime"; readonly downtimeMs: number }
  | { readonly do: "throttle"; readonly percentMax: number }
  | { readonly do: "cancel-copy" }
  /** Undo a started fetch that the target will never use, so that the guest can run here again. */
  | { readonly do: "unwind-fetch" }
  | { readonly do: "offer" }
  /** Come back with offer-due. */
  | { readonly do: "wait-to-offer"; readonly afterMs: number }
  /** Ask until the target says that it runs the guest, or lost it. */
  | { readonly do: "confirm-running" }
  | { readonly do: "void-target" }
  | { readonly do: "recover-fetch"; readonly afterMs: number }
  /** The guest must not run here until the target has answered. */
  | { readonly do: "hold-guest" }
  /** The guest must not run here whatever QEMU thinks: kill it now. */
  | { readonly do: "fence-source" }
  | { readonly do: "release-source" }
  | { readonly do: "note"; readonly text: string };

export interface Step {
  readonly state: Source;
  readonly effects: readonly SourceEffect[];
}

export interface Job {
  readonly settings: MigrateSettings;
  readonly technique: Technique;
}

export type In<P extends Source["phase"]> = Extract<Source, { phase: P }>;

export const stay = (state: Source): Step => ({ state, effects: [] });
export const go = (state: Source, ...effects: readonly SourceEffect[]): Step => ({ state, effects });
export const note = (text: string): SourceEffect => ({ do: "note", text });
