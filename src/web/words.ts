/** What phases, outcomes and techniques are called for people, and which tone (colour and icon) each has. */
import type { Outcome, PhaseName, TechniqueChoice } from "../api/migration.ts";
import type { VmView } from "../api/host.ts";

/** Tones are told apart by icon and word too, never by colour alone. */
export type Tone = "moving" | "paused" | "fetching" | "good" | "bad" | "warn" | "quiet";

export const PHASE_WORDS: Readonly<Record<PhaseName, string>> = {
  preparing: "Preparing",
  copying: "Copying",
  switching: "Switching over",
  "handing-over": "Handing over",
  "handed-over": "Handed over",
  fetching: "Fetching",
  "fetch-paused": "Fetch paused",
  cancelling: "Cancelling",
  done: "Done",
  aborted: "Ended at the source",
  "needs-person": "Needs a person",
};

export const PHASE_TONES: Readonly<Record<PhaseName, Tone>> = {
  preparing: "quiet",
  copying: "moving",
  switching: "paused",
  "handing-over": "paused",
  "handed-over": "fetching",
  fetching: "fetching",
  "fetch-paused": "bad",
  cancelling: "warn",
  done: "good",
  aborted: "warn",
  "needs-person": "bad",
};

export const OUTCOME_WORDS: Readonly<Record<Outcome, string>> = {
  done: "Done",
  failed: "Failed",
  cancelled: "Cancelled",
  "timed-out": "Timed out",
  "needs-person": "Needs a person",
};

export const OUTCOME_TONES: Readonly<Record<Outcome, Tone>> = {
  done: "good",
  failed: "bad",
  cancelled: "warn",
  "timed-out": "warn",
  "needs-person": "bad",
};

export const STATE_TONES: Readonly<Record<VmView["state"], Tone>> = {
  running: "good",
  paused: "paused",
  migrating: "moving",
  incoming: "moving",
  stopped: "quiet",
  lost: "bad",
};

export const TECHNIQUE_WORDS: Readonly<Record<TechniqueChoice, string>> = {
  auto: "Copy, unless the guest writes so much that fetching is clearly sooner over.",
  "stop-and-copy": "Pause, copy everything, run at the target. The longest pause, the fewest bytes.",
  "pre-copy": "Copy while it runs, again what it wrote meanwhile, then a short pause. Cancels at any time.",
  "post-copy":
    "Run at the target almost at once and fetch memory behind it. Always ends; slow pages meanwhile.",
  hybrid: "Copy once while it runs, then run at the target and fetch what was written meanwhile.",
};

/** A phase after which it is no longer ours to cancel, and one in which it is. */
export const CANCELLABLE: readonly PhaseName[] = ["preparing", "copying", "switching", "handing-over"];
export const RECOVERABLE: readonly PhaseName[] = ["fetch-paused", "needs-person"];
