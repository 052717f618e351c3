/**
 * The source's phases from the moment its QEMU cannot resume by itself: asking the target to accept, and what follows
 * once it has. Up to an answer nothing is guessed; after "accepted" the guest never runs here again, but by a person.
 */
import {
  afterRestartHandedOver,
  bothLost,
  cancelled,
  failed,
  lostAtTarget,
  lostWhileFetching,
  released,
  running,
  stuckFetching,
  takeBack,
  targetRefused,
  undo,
} from "./source-moves.ts";
import { go, type In, note, type SourceEffect, type SourceEvent, stay, type Step } from "./source-types.ts";

/** Offers that provably did not arrive, before the source takes the guest back by itself (about 5 s). */
export const UNDELIVERED_OFFERS_MAX = 20;
const OFFER_RETRY_MS = 250;
/** Unattended tries to continue a broken fetch, one every few seconds, before a person is asked. */
export const RECOVER_ATTEMPTS_MAX = 60;
const RECOVER_RETRY_MS = 2_000;

export function whileHandingOver(state: In<"handing-over">, event: SourceEvent): Step {
  const later: SourceEffect = { do: "wait-to-offer", afterMs: OFFER_RETRY_MS };
  const handedOver = {
    phase: "handed-over",
    way: state.way,
    sourceLost: state.sourceLost,
    fetchBroken: state.fetchBroken,
    fetched: false,
  } as const;
  switch (event.type) {
    case "target-accepted":
    case "target-running":
      // It runs, but what it has not fetched yet is gone with our QEMU.
      if (state.sourceLost && state.way === "fetch") return go(lostWhileFetching("before the target ran"));
      return event.type === "target-accepted"
        ? go(handedOver, { do: "confirm-running" })
        : running(handedOver);
    case "target-done":
      return released();
    case "target-void":
      return targetRefused(state, event.why);
    case "target-lost":
      return lostAtTarget(state, event.why);
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

export function whileHandedOver(state: In<"handed-over">, event: SourceEvent): Step {
  switch (event.type) {
    case "target-running":
      return running(state);
    case "target-done":
      return released();
    case "target-lost":
      return lostAtTarget(state, event.why);
    case "target-void":
      return targetRefused(state, event.why);
    case "fetch-broken":
      return stay({ ...state, fetchBroken: true });
    case "copy-completed":
      return stay({ ...state, fetched: true });
    case "guest-running":
      return go(state, note("the source restarted the guest by itself: fenced"), { do: "fence-source" });
    case "source-lost":
      if (state.way === "copy") return stay({ ...state, sourceLost: true });
      return go(lostWhileFetching(event.why));
    case "restarted":
      return afterRestartHandedOver(state, event.found);
    default:
      return stay(state);
  }
}

export function whileFetching(state: In<"fetching">, event: SourceEvent): Step {
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
      return lostAtTarget({ way: "fetch", sourceLost: false }, event.why);
    case "restarted":
      return afterRestartHandedOver(
        { phase: "handed-over", way: "fetch", sourceLost: false, fetchBroken: false, fetched: false },
        event.found,
      );
    default:
      return stay(state);
  }
}

export function whileFetchPaused(state: In<"fetch-paused">, event: SourceEvent): Step {
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
      return lostAtTarget({ way: "fetch", sourceLost: false }, event.why);
    case "target-void":
      return go(stuckFetching(event.why));
    case "restarted":
      return afterRestartHandedOver(
        { phase: "handed-over", way: "fetch", sourceLost: false, fetchBroken: true, fetched: false },
        event.found,
      );
    default:
      return stay(state);
  }
}

export function whileNeedsPerson(state: In<"needs-person">, event: SourceEvent): Step {
  switch (event.type) {
    case "recover":
      if (state.canTakeBack) return stay(state);
      return go(
        { phase: "fetch-paused", why: state.reason, attempts: 1 },
        { do: "recover-fetch", afterMs: 0 },
      );
    case "source-lost":
      return state.canTakeBack ? bothLost(event.why) : stay(state);
    case "restarted":
      return state.canTakeBack && event.found.qemu === "gone"
        ? bothLost("while the agent was away")
        : stay(state);
    case "take-back":
      if (!state.canTakeBack) return stay(state);
      return takeBack(
        failed("TAKEN_BACK", "taken back by an operator; the VM runs at the source as of the switchover"),
      );
    case "target-running":
      // Lost and found: the target's agent was wrong or came back. Pages still to be fetched stay a person's matter.
      if (!state.canTakeBack) return stay(state);
      return running({
        phase: "handed-over",
        way: "copy",
        sourceLost: false,
        fetchBroken: false,
        fetched: true,
      });
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
