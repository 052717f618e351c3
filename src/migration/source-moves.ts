/** Transitions that several phases of the source share: taking the guest back, handing it over, finding it again. */
import {
  type Ending,
  type Found,
  go,
  type In,
  note,
  type Source,
  type SourceEffect,
  stay,
  type Step,
  type Way,
} from "./source-types.ts";

export const cancelled: Ending = {
  outcome: "cancelled",
  code: "CANCELLED",
  reason: "cancelled on request; the VM runs at the source",
};
export const failed = (code: string, reason: string): Ending => ({ outcome: "failed", code, reason });
/** Before the hand-over the source's copy is the only one. */
export const vmLost = (why: string): Ending => failed("VM_LOST", `QEMU ended at the source (${why})`);

export function handOver(way: Way): Step {
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
export function sourceLost(why: string): Step {
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

export function cancelCopy(state: In<"copying" | "switching">, ending: Ending): Step {
  const paused = state.phase === "switching" || state.guestPaused || state.pauseAsked;
  return go(
    { phase: "cancelling", ending, copyEnded: false, guestRuns: !paused },
    { do: "cancel-copy" },
    { do: "void-target" },
  );
}

/** The copy has ended without a hand-over. QEMU resumes the guest itself unless the pause was ours; asking twice is harmless. */
export function takeBack(ending: Ending): Step {
  return go(
    { phase: "cancelling", ending, copyEnded: true, guestRuns: false },
    { do: "resume-guest" },
    { do: "void-target" },
  );
}

/** Nothing was offered: the guest is still this host's. */
export function undo(state: In<"handing-over">, ending: Ending): Step {
  if (state.way === "fetch") {
    return go(
      { phase: "cancelling", ending, copyEnded: false, guestRuns: false },
      { do: "unwind-fetch" },
      { do: "void-target" },
    );
  }
  return takeBack(ending);
}

export function targetRefused(
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

export const released = (): Step => go({ phase: "done" }, { do: "release-source" });

export function running(state: In<"handed-over">): Step {
  if (state.way === "copy" || state.fetched) return released();
  if (state.fetchBroken) {
    return go(
      { phase: "fetch-paused", why: "the connection broke during the hand-over", attempts: 1 },
      { do: "recover-fetch", afterMs: 0 },
    );
  }
  return stay({ phase: "fetching" });
}

export function lostAtTarget(state: Pick<In<"handed-over">, "way" | "sourceLost">, why: string): Step {
  if (state.sourceLost) return bothLost(why);
  return go({
    phase: "needs-person",
    reason:
      state.way === "copy"
        ? `the target accepted the VM and then lost it (${why}). The copy here is complete as of the switchover; whether the other one ran for a moment is not known`
        : `the target lost the VM while its memory was being fetched (${why})`,
    canTakeBack: state.way === "copy",
  });
}

/** The target accepted it and lost it, and the copy here is gone as well. */
export const bothLost = (why: string): Step =>
  go({ phase: "aborted", ...failed("VM_LOST", `QEMU ended at the target and at the source (${why})`) });

export const stuckFetching = (why: string): Source => ({
  phase: "needs-person",
  reason: `the target will never run the VM, and QEMU at the source, which does not end the fetch, cannot run it either: ${why}`,
  canTakeBack: false,
});

export const lostWhileFetching = (why: string): Source => ({
  phase: "needs-person",
  reason: `QEMU ended at the source while memory was being fetched (${why}): pages the target still needs are gone`,
  canTakeBack: false,
});

export function afterRestart(state: In<"copying" | "switching">, found: Found): Step {
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
      return takeBack(failed("COPY_FAILED", "copying ended while the agent was away"));
  }
}

export function afterRestartHandedOver(state: In<"handed-over">, found: Found): Step {
  if (found.qemu === "gone") {
    if (state.way === "copy") return go({ ...state, sourceLost: true }, { do: "confirm-running" });
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
