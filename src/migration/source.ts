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
import {
  whileFetching,
  whileFetchPaused,
  whileHandedOver,
  whileHandingOver,
  whileNeedsPerson,
} from "./source-hand-over.ts";
import {
  afterRestart,
  cancelCopy,
  cancelled,
  failed,
  handOver,
  sourceLost,
  stuckFetching,
  takeBack,
  vmLost,
} from "./source-moves.ts";
import {
  go,
  type In,
  type Job,
  note,
  type Source,
  type SourceEvent,
  stay,
  type Step,
} from "./source-types.ts";
import { freshMemory } from "./types.ts";

export const isFinal = (state: Source): boolean => state.phase === "done" || state.phase === "aborted";

export function step(state: Source, event: SourceEvent, job: Job): Step {
  switch (state.phase) {
    case "preparing":
      return whilePreparing(state, event, job);
    case "copying":
      return whileCopying(state, event, job);
    case "switching":
      return whileCrossing(state, event);
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

function whilePreparing(state: In<"preparing">, event: SourceEvent, job: Job): Step {
  switch (event.type) {
    case "target-ready": {
      const opening = job.technique.opening(job.settings, event.path);
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
      return go({ phase: "aborted", ...vmLost(event.why) }, { do: "void-target" });
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
      const { decision, memory } = job.technique.decide(
        { nowMs: event.nowMs, startedAtMs: state.startedAtMs, rounds, sample: event.sample },
        job.settings,
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
    default:
      return whileCrossing(state, event);
  }
  return stay(state);
}

/** What means the same while the guest runs and once it is paused. */
function whileCrossing(state: In<"copying" | "switching">, event: SourceEvent): Step {
  switch (event.type) {
    case "copy-completed":
      return handOver("copy");
    case "fetch-started":
      return handOver("fetch");
    case "copy-ended":
      return takeBack(failed("COPY_FAILED", event.why));
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

function whileCancelling(state: In<"cancelling">, event: SourceEvent): Step {
  const settle = (next: In<"cancelling">): Step =>
    next.copyEnded && next.guestRuns ? stay({ phase: "aborted", ...next.ending }) : stay(next);
  const wanted = (next: In<"cancelling">): Step =>
    next.copyEnded && !next.guestRuns ? go(next, { do: "resume-guest" }) : settle(next);
  switch (event.type) {
    case "copy-ended":
      return wanted({ ...state, copyEnded: true });
    case "guest-running":
      return settle({ ...state, guestRuns: true });
    case "guest-paused":
      return stay({ ...state, guestRuns: false });
    case "copy-completed":
      // The cancel came too late for QEMU, but nothing was offered: the guest is ours, and paused.
      return go({ ...state, copyEnded: true, guestRuns: false }, { do: "resume-guest" });
    case "fetch-started":
      // The cancel crossed the switch to post-copy. Nothing was offered, so it can still be undone.
      return go(state, { do: "unwind-fetch" });
    case "unwind-failed":
      return go(stuckFetching(event.why));
    case "source-lost":
      return go({ phase: "aborted", ...vmLost(event.why) }, { do: "void-target" });
    case "restarted": {
      if (event.found.qemu === "gone")
        return go({ phase: "aborted", ...vmLost("while the agent was away") }, { do: "void-target" });
      if (event.found.copy === "active") return go(state, { do: "cancel-copy" });
      if (event.found.copy === "fetching" || event.found.copy === "fetch-broken")
        return go(state, { do: "unwind-fetch" });
      return wanted({ ...state, copyEnded: true, guestRuns: event.found.guestRuns });
    }
    default:
      return stay(state);
  }
}
