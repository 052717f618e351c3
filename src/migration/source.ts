/**
 * The source's half of a migration: every phase, every event, every transition. Pure: the agent turns what happens
 * into events, writes the new state to its journal, then performs the effects.
 *
 *   preparing ─► copying ─► switching ─► handing-over ─► handed-over ─► done          pre-copy, stop-and-copy
 *                   │            └─────► handing-over ─► handed-over ─► fetching ─► done   post-copy, hybrid
 *                   └─► cancelling ─► aborted (the guest runs here)          fetch-paused ⇄ fetching
 *
 * The rule behind it (ARCHITECTURE, rule 1): once an offer may have reached the target, only the target's answer
 * decides. Until then the source may always take the guest back. test/model/one-owner.test.ts walks every interleaving.
 */
import type { MigrateSettings, PhaseName } from "../api/migration.ts";
import { judge } from "./judge.ts";
import { type CopySample, type DeciderMemory, freshMemory, type Round, type Technique } from "./types.ts";

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
  | { readonly type: "target-ready"; readonly nowMs: number }
  | { readonly type: "prepare-failed"; readonly code: string; readonly why: string }
  | { readonly type: "sample"; readonly nowMs: number; readonly sample: CopySample; readonly ended?: Round }
  | { readonly type: "guest-paused" }
  | { readonly type: "guest-running" }
  /** All state was delivered and loaded; this QEMU cannot resume by itself any more. */
  | { readonly type: "copy-completed" }
  | { readonly type: "copy-ended"; readonly why: string }
  /** QEMU neither ends the broken fetch nor lets the guest run: its pause lasts. */
  | { readonly type: "copy-stuck"; readonly why: string }
  /** Device state is on its way; memory follows on demand. */
  | { readonly type: "fetch-started" }
  | { readonly type: "fetch-broken"; readonly why: string }
  | { readonly type: "fetch-resumed" }
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

/** Offers that provably did not arrive, before the source takes the guest back by itself (about 5 s). */
export const UNDELIVERED_OFFERS_MAX = 20;
const OFFER_RETRY_MS = 250;
/** Unattended tries to continue a broken fetch, one every few seconds, before a person is asked. */
export const RECOVER_ATTEMPTS_MAX = 60;
const RECOVER_RETRY_MS = 2_000;

export interface Job {
  readonly settings: MigrateSettings;
  readonly technique: Technique;
}

const stay = (state: Source): Step => ({ state, effects: [] });
const go = (state: Source, ...effects: readonly SourceEffect[]): Step => ({ state, effects });

export const isFinal = (state: Source): boolean => state.phase === "done" || state.phase === "aborted";
export const phaseOf = (state: Source): PhaseName => state.phase;

export function step(state: Source, event: SourceEvent, job: Job): Step {
  switch (state.phase) {
    case "preparing":
      return whilePreparing(state, event, job);
    case "copying":
      return whileCopying(state, event, job);
    case "switching":
      return whileSwitching(state, event);
    case "handing-over":
      return whileHandingOver(state, event);
    case "handed-over":
      return whileHandedOver(state, event);
    case "fetching":
      return whileFetching(state, event);
    case "fetch-paused":
      return whileFetchPaused(state, event);
    case "cancelling":
      return whileCancelling(state, event);
    case "needs-person":
      return whileNeedsPerson(state, event);
    case "done":
    case "aborted":
      return stay(state);
  }
}

type In<P extends Source["phase"]> = Extract<Source, { phase: P }>;

const cancelled: Ending = {
  outcome: "cancelled",
  code: "CANCELLED",
  reason: "cancelled on request; the VM runs at the source",
};
const failed = (code: string, reason: string): Ending => ({ outcome: "failed", code, reason });

function whilePreparing(state: In<"preparing">, event: SourceEvent, job: Job): Step {
  switch (event.type) {
    case "target-ready": {
      const opening = job.technique.opening(job.settings);
      const copying: Source = {
        phase: "copying",
        startedAtMs: event.nowMs,
        rounds: [],
        memory: freshMemory,
        pauseAsked: opening.pauseFirst,
        fetchAsked: opening.fetchAtOnce,
        guestPaused: false,
      };
      return go(
        copying,
        ...(opening.pauseFirst ? ([{ do: "pause-guest" }] as const) : []),
        { do: "start-copy", downtimeLimitMs: opening.downtimeLimitMs },
        ...(opening.fetchAtOnce ? ([{ do: "start-fetch" }] as const) : []),
      );
    }
    case "prepare-failed":
      return go({ phase: "aborted", ...failed(event.code, event.why) }, { do: "void-target" });
    case "cancel":
      return go({ phase: "aborted", ...cancelled }, { do: "void-target" });
    case "source-lost":
      return go({ phase: "aborted", ...failed("QEMU_EXITED", event.why) }, { do: "void-target" });
    case "restarted":
      return go(
        {
          phase: "aborted",
          ...failed("AGENT_RESTARTED", "the agent restarted before copying began; the VM runs at the source"),
        },
        { do: "void-target" },
      );
    default:
      return stay(state);
  }
}

function whileCopying(state: In<"copying">, event: SourceEvent, job: Job): Step {
  switch (event.type) {
    case "sample": {
      const rounds = event.ended === undefined ? state.rounds : [...state.rounds, event.ended];
      if (state.pauseAsked || state.fetchAsked || state.guestPaused) return stay({ ...state, rounds });
      const { decision, memory } = judge(
        { nowMs: event.nowMs, startedAtMs: state.startedAtMs, rounds, sample: event.sample },
        job,
        state.memory,
      );
      const next = { ...state, rounds, memory };
      switch (decision.do) {
        case "continue":
          return stay(next);
        case "set-downtime":
          return go(next, note(decision.because), { do: "set-downtime", downtimeMs: decision.downtimeMs });
        case "throttle":
          return go(next, note(decision.because), { do: "throttle", percentMax: decision.percentMax });
        case "pause":
          return go({ ...next, pauseAsked: true }, note(decision.because), { do: "pause-guest" });
        case "fetch":
          return go({ ...next, fetchAsked: true }, note(decision.because), { do: "start-fetch" });
        case "give-up":
          return cancelCopy(state, {
            outcome: decision.outcome,
            code: decision.outcome === "timed-out" ? "TIMED_OUT" : "CANCELLED",
            reason: decision.because,
          });
      }
      break;
    }
    case "guest-paused":
      // stop-and-copy pauses first and then copies everything; elsewhere the pause is the switchover.
      if (job.technique.opening(job.settings).pauseFirst && !state.guestPaused)
        return stay({ ...state, guestPaused: true });
      return stay({ phase: "switching", pauseAsked: state.pauseAsked, fetchAsked: state.fetchAsked });
    case "copy-completed":
      return handOver("copy");
    case "fetch-started":
      return handOver("fetch");
    case "copy-ended":
      return takeBack(failed("COPY_FAILED", event.why), state.pauseAsked);
    case "cancel":
      return cancelCopy(state, cancelled);
    case "source-lost":
      return sourceLost(event.why);
    case "restarted":
      return afterRestart(state, event.found);
    default:
      return stay(state);
  }
  return stay(state);
}

function whileSwitching(state: In<"switching">, event: SourceEvent): Step {
  switch (event.type) {
    case "copy-completed":
      return handOver("copy");
    case "fetch-started":
      return handOver("fetch");
    case "copy-ended":
      return takeBack(failed("COPY_FAILED", event.why), state.pauseAsked);
    case "cancel":
      return cancelCopy(state, cancelled);
    case "source-lost":
      return sourceLost(event.why);
    case "restarted":
      return afterRestart(state, event.found);
    default:
      return stay(state);
  }
}

function whileHandingOver(state: In<"handing-over">, event: SourceEvent): Step {
  const later: SourceEffect = { do: "wait-to-offer", afterMs: OFFER_RETRY_MS };
  const handedOver = {
    phase: "handed-over",
    way: state.way,
    fetchBroken: state.fetchBroken,
    fetched: false,
  } as const;
  switch (event.type) {
    case "target-accepted":
      return go(handedOver, { do: "confirm-running" });
    case "target-running":
      return running(handedOver);
    case "target-done":
      return released();
    case "target-void":
      return targetRefused(state, event.why);
    case "target-lost":
      return lostAtTarget(state.way, event.why);
    case "offer-due":
      return go({ ...state, doubt: state.doubt === "arrived" ? "arrived" : "asking" }, { do: "offer" });
    case "offer-undelivered": {
      if (state.doubt === "arrived" || state.sourceLost) return go(state, later);
      const known: In<"handing-over"> = { ...state, doubt: "none", undelivered: state.undelivered + 1 };
      if (state.cancelAsked) return undo(known, cancelled);
      if (known.undelivered >= UNDELIVERED_OFFERS_MAX) {
        return undo(
          known,
          failed(
            "PEER_UNREACHABLE",
            `the target's agent could not be reached to hand the VM over: ${event.why}`,
          ),
        );
      }
      return go(known, later);
    }
    case "offer-unanswered":
      // Nothing more can come from a QEMU that is gone; the target promises, or it was complete after all.
      if (state.sourceLost && event.incomplete === true)
        return go({ ...state, doubt: "arrived" }, { do: "void-target" }, later);
      return go({ ...state, doubt: "arrived" }, later);
    case "cancel":
      if (state.doubt === "none" && !state.sourceLost) return undo(state, cancelled);
      return go({ ...state, cancelAsked: true }, { do: "void-target" });
    case "fetch-broken":
      return stay({ ...state, fetchBroken: true });
    case "guest-running":
      // QEMU 10.0 restarts the guest when a post-copy fails. Two copies must never run: unless no offer can have
      // arrived, this one is stopped again until the target has answered.
      if (state.doubt === "none")
        return undo(
          state,
          failed("COPY_FAILED", "QEMU resumed the guest at the source before the target accepted it"),
        );
      return go(state, note("QEMU restarted the guest by itself: held until the target has answered"), {
        do: "hold-guest",
      });
    case "source-lost":
      return stay({ ...state, sourceLost: true });
    case "restarted": {
      const again: In<"handing-over"> = {
        ...state,
        doubt: state.doubt === "none" ? "asking" : "arrived",
        sourceLost: event.found.qemu === "gone",
      };
      if (event.found.qemu === "alive" && event.found.guestRuns)
        return go(again, { do: "hold-guest" }, { do: "offer" });
      return go(again, { do: "offer" });
    }
    default:
      return stay(state);
  }
}

function whileHandedOver(state: In<"handed-over">, event: SourceEvent): Step {
  switch (event.type) {
    case "target-running":
      return running(state);
    case "target-done":
      return released();
    case "target-lost":
      return lostAtTarget(state.way, event.why);
    case "target-void":
      return targetRefused({ way: state.way, sourceLost: false }, event.why);
    case "fetch-broken":
      return stay({ ...state, fetchBroken: true });
    case "copy-completed":
      return stay({ ...state, fetched: true });
    case "guest-running":
      return go(state, note("the source restarted the guest by itself: fenced"), { do: "fence-source" });
    case "source-lost":
      if (state.way === "copy") return stay(state);
      return go(lostWhileFetching(event.why));
    case "restarted":
      return afterRestartHandedOver(state, event.found);
    default:
      return stay(state);
  }
}

function whileFetching(state: In<"fetching">, event: SourceEvent): Step {
  switch (event.type) {
    case "copy-completed":
    case "target-done":
      return released();
    case "fetch-broken":
      return go({ phase: "fetch-paused", why: event.why, attempts: 1 }, { do: "recover-fetch", afterMs: 0 });
    case "copy-ended":
    case "source-lost":
      return go(lostWhileFetching(event.why), { do: "fence-source" });
    case "guest-running":
      return go(state, note("the source restarted the guest by itself: fenced"), { do: "fence-source" });
    case "target-lost":
      return lostAtTarget("fetch", event.why);
    case "restarted":
      return afterRestartHandedOver(
        { phase: "handed-over", way: "fetch", fetchBroken: false, fetched: false },
        event.found,
      );
    default:
      return stay(state);
  }
}

function whileFetchPaused(state: In<"fetch-paused">, event: SourceEvent): Step {
  switch (event.type) {
    case "fetch-resumed":
      return stay({ phase: "fetching" });
    case "copy-completed":
    case "target-done":
      return released();
    case "recover-failed":
    case "fetch-broken":
      if (state.attempts >= RECOVER_ATTEMPTS_MAX) {
        return go({
          phase: "needs-person",
          reason: `the connection broke while memory was being fetched and ${state.attempts} tries to continue failed: ${event.why}. The VM waits at the target for pages of the source`,
          canTakeBack: false,
        });
      }
      return go(
        { ...state, why: event.why, attempts: state.attempts + 1 },
        { do: "recover-fetch", afterMs: RECOVER_RETRY_MS },
      );
    case "recover":
      return go({ ...state, attempts: 1 }, { do: "recover-fetch", afterMs: 0 });
    case "guest-running":
      return go(state, note("the source restarted the guest by itself: fenced"), { do: "fence-source" });
    case "source-lost":
      return go(lostWhileFetching(event.why));
    case "target-lost":
      return lostAtTarget("fetch", event.why);
    case "restarted":
      return afterRestartHandedOver(
        { phase: "handed-over", way: "fetch", fetchBroken: true, fetched: false },
        event.found,
      );
    default:
      return stay(state);
  }
}

function whileCancelling(state: In<"cancelling">, event: SourceEvent): Step {
  const settle = (next: In<"cancelling">): Step =>
    next.copyEnded && next.guestRuns ? stay({ phase: "aborted", ...next.ending }) : stay(next);
  switch (event.type) {
    case "copy-ended":
      return next(state, { ...state, copyEnded: true });
    case "guest-running":
      return settle({ ...state, guestRuns: true });
    case "guest-paused":
      return stay({ ...state, guestRuns: false });
    case "copy-completed":
      // The cancel came too late for QEMU, but nothing was offered: the guest is ours, and paused.
      return go({ ...state, copyEnded: true, guestRuns: false }, { do: "resume-guest" });
    case "copy-stuck":
      return stay({
        phase: "needs-person",
        reason: `${state.ending.reason}; the guest is paused at the source with all its memory, but QEMU does not let it go: ${event.why}`,
        canTakeBack: true,
      });
    case "fetch-started":
      // The cancel crossed the switch to post-copy. Nothing was offered, so it can still be undone.
      return go(state, { do: "unwind-fetch" });
    case "source-lost":
      return go({ phase: "aborted", ...failed("QEMU_EXITED", event.why) }, { do: "void-target" });
    case "restarted": {
      if (event.found.qemu === "gone")
        return go(
          { phase: "aborted", ...failed("QEMU_EXITED", "QEMU ended at the source") },
          { do: "void-target" },
        );
      if (event.found.copy === "active") return go(state, { do: "cancel-copy" });
      if (event.found.copy === "fetching" || event.found.copy === "fetch-broken")
        return go(state, { do: "unwind-fetch" });
      return next(state, { ...state, copyEnded: true, guestRuns: event.found.guestRuns });
    }
    default:
      return stay(state);
  }
  function next(_: Source, wanted: In<"cancelling">): Step {
    if (wanted.copyEnded && !wanted.guestRuns) return go(wanted, { do: "resume-guest" });
    return settle(wanted);
  }
}

function whileNeedsPerson(state: In<"needs-person">, event: SourceEvent): Step {
  switch (event.type) {
    case "recover":
      if (state.canTakeBack) return stay(state);
      return go(
        { phase: "fetch-paused", why: state.reason, attempts: 1 },
        { do: "recover-fetch", afterMs: 0 },
      );
    case "take-back":
      if (!state.canTakeBack) return stay(state);
      return takeBack(
        failed("TAKEN_BACK", "taken back by an operator; the VM runs at the source as of the switchover"),
        true,
      );
    case "target-running":
      // Lost and found: the target's agent was wrong or came back. Pages still to be fetched stay a person's matter.
      if (!state.canTakeBack) return stay(state);
      return running({ phase: "handed-over", way: "copy", fetchBroken: false, fetched: true });
    case "target-done":
      return released();
    case "guest-running":
      return go(state, note("QEMU restarted the guest by itself: stopped, a person decides"), {
        do: "hold-guest",
      });
    default:
      return stay(state);
  }
}

// ---- moves used from several phases

const note = (text: string): SourceEffect => ({ do: "note", text });

function handOver(way: Way): Step {
  return go(
    {
      phase: "handing-over",
      way,
      doubt: "asking",
      sourceLost: false,
      undelivered: 0,
      cancelAsked: false,
      fetchBroken: false,
    },
    { do: "offer" },
  );
}

/** QEMU is gone, so the guest is stopped for certain; the target may hold a complete copy. Only it can know. */
function sourceLost(why: string): Step {
  return go(
    {
      phase: "handing-over",
      way: "copy",
      doubt: "asking",
      sourceLost: true,
      undelivered: 0,
      cancelAsked: false,
      fetchBroken: false,
    },
    note(`QEMU ended at the source (${why}); asking the target whether its copy is complete`),
    { do: "offer" },
  );
}

function cancelCopy(state: In<"copying" | "switching">, ending: Ending): Step {
  const paused = state.phase === "switching" || state.guestPaused || state.pauseAsked;
  return go(
    { phase: "cancelling", ending, copyEnded: false, guestRuns: !paused },
    { do: "cancel-copy" },
    { do: "void-target" },
  );
}

/** The copy has ended without a hand-over. QEMU resumes the guest itself unless the pause was ours; asking twice is harmless. */
function takeBack(ending: Ending, _pausedByUs: boolean): Step {
  return go(
    { phase: "cancelling", ending, copyEnded: true, guestRuns: false },
    { do: "resume-guest" },
    { do: "void-target" },
  );
}

/** Nothing was offered: the guest is still this host's. */
function undo(state: In<"handing-over">, ending: Ending): Step {
  if (state.way === "fetch") {
    return go(
      { phase: "cancelling", ending, copyEnded: false, guestRuns: false },
      { do: "unwind-fetch" },
      { do: "void-target" },
    );
  }
  return takeBack(ending, true);
}

function targetRefused(
  state: { readonly way: Way; readonly sourceLost: boolean; readonly cancelAsked?: boolean },
  why: string,
): Step {
  if (state.sourceLost) {
    return go({
      phase: "aborted",
      ...failed("VM_LOST", `QEMU ended at the source before the target had everything: ${why}`),
    });
  }
  const ending =
    state.cancelAsked === true ? cancelled : failed("TARGET_VOID", `the target will not run the VM: ${why}`);
  if (state.way === "fetch")
    return go({ phase: "cancelling", ending, copyEnded: false, guestRuns: false }, { do: "unwind-fetch" });
  return go({ phase: "cancelling", ending, copyEnded: true, guestRuns: false }, { do: "resume-guest" });
}

const released = (): Step => go({ phase: "done" }, { do: "release-source" });

function running(state: In<"handed-over">): Step {
  if (state.way === "copy" || state.fetched) return released();
  if (state.fetchBroken) {
    return go(
      { phase: "fetch-paused", why: "the connection broke during the hand-over", attempts: 1 },
      { do: "recover-fetch", afterMs: 0 },
    );
  }
  return stay({ phase: "fetching" });
}

function lostAtTarget(way: Way, why: string): Step {
  return go({
    phase: "needs-person",
    reason:
      way === "copy"
        ? `the target accepted the VM and then lost it (${why}). The copy here is complete as of the switchover; whether the other one ran for a moment is not known`
        : `the target lost the VM while its memory was being fetched (${why})`,
    canTakeBack: way === "copy",
  });
}

const lostWhileFetching = (why: string): Source => ({
  phase: "needs-person",
  reason: `QEMU ended at the source while memory was being fetched (${why}): pages the target still needs are gone`,
  canTakeBack: false,
});

function afterRestart(state: In<"copying" | "switching">, found: Found): Step {
  if (found.qemu === "gone") return sourceLost("while the agent was away");
  switch (found.copy) {
    case "active":
      return found.guestRuns || state.phase === "switching"
        ? stay(state)
        : stay({ phase: "switching", pauseAsked: state.pauseAsked, fetchAsked: state.fetchAsked });
    case "completed":
      return handOver("copy");
    case "fetching":
      return handOver("fetch");
    case "fetch-broken": {
      const { state: next, effects } = handOver("fetch");
      return go(next.phase === "handing-over" ? { ...next, fetchBroken: true } : next, ...effects);
    }
    case "none":
    case "ended":
      return takeBack(failed("COPY_FAILED", "copying ended while the agent was away"), true);
  }
}

function afterRestartHandedOver(state: In<"handed-over">, found: Found): Step {
  if (found.qemu === "gone") {
    if (state.way === "copy") return go(state, { do: "confirm-running" });
    return go(lostWhileFetching("while the agent was away"));
  }
  const fence: readonly SourceEffect[] = found.guestRuns ? [{ do: "fence-source" }] : [];
  return go(
    {
      ...state,
      fetched: found.copy === "completed" && state.way === "fetch",
      fetchBroken: found.copy === "fetch-broken",
    },
    ...fence,
    { do: "confirm-running" },
  );
}
