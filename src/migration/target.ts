/**
 * The target's half: it waits with a QEMU that never runs by itself, and decides one thing: may it run the guest now.
 *
 *   preparing ─► receiving ─► loaded ─► accepted ─► running ─► done
 *        └───────────┴──────────┴──► void (promised: this copy will never run)
 *
 * `accepted` is the point of no return of the whole migration. It is reached only when everything needed has been
 * loaded AND the source asked for it, which it does only once it cannot run the guest any more. One way back is left:
 * a run command that provably did nothing (docs/decisions/0005).
 */
export type Target =
  | { readonly phase: "preparing" }
  | { readonly phase: "receiving"; readonly handOverAsked: boolean }
  | { readonly phase: "loaded" }
  /** Run commands on their way to QEMU: after a restart the agent before may have sent one of its own. */
  | { readonly phase: "accepted"; readonly sent: "none" | "one" | "unknown" }
  | { readonly phase: "running" }
  | { readonly phase: "done" }
  /** Accepted, then QEMU died: the guest may have run here for a moment. */
  | { readonly phase: "lost"; readonly why: string }
  | { readonly phase: "void"; readonly why: string };

export type TargetEvent =
  | { readonly type: "listening" }
  | { readonly type: "prepare-failed"; readonly why: string }
  /** QEMU holds all it needs to run the guest: everything (copy), or device state (fetch). */
  | { readonly type: "loaded" }
  | { readonly type: "hand-over" }
  | { readonly type: "void"; readonly why: string }
  /** The run command is about to be sent. */
  | { readonly type: "run-sent" }
  /** It provably did nothing and never will: QEMU refused it, or ended before it had read it. */
  | { readonly type: "run-refused"; readonly why: string }
  | { readonly type: "guest-running" }
  /** No byte of the source is needed any more. */
  | { readonly type: "complete" }
  | { readonly type: "qemu-lost"; readonly why: string }
  | { readonly type: "restarted"; readonly found: "gone" | "waiting" | "loaded" | "running" };

export type TargetEffect =
  | { readonly do: "run-guest" }
  | { readonly do: "kill-qemu" }
  /** The VM belongs to this host from now on. */
  | { readonly do: "adopt-vm" };

export interface TargetStep {
  readonly state: Target;
  readonly effects: readonly TargetEffect[];
}

const stay = (state: Target): TargetStep => ({ state, effects: [] });
const go = (state: Target, ...effects: readonly TargetEffect[]): TargetStep => ({ state, effects });
const giveUp = (why: string): TargetStep => go({ phase: "void", why }, { do: "kill-qemu" });
const accept = (): TargetStep =>
  go({ phase: "accepted", sent: "none" }, { do: "adopt-vm" }, { do: "run-guest" });

export const targetIsFinal = (state: Target): boolean =>
  state.phase === "done" || state.phase === "void" || state.phase === "lost";

export function stepTarget(state: Target, event: TargetEvent): TargetStep {
  switch (state.phase) {
    case "preparing":
      if (event.type === "listening") return stay({ phase: "receiving", handOverAsked: false });
      if (event.type === "prepare-failed") return giveUp(event.why);
      if (event.type === "void") return giveUp(event.why);
      if (event.type === "qemu-lost") return giveUp(event.why);
      if (event.type === "restarted") return giveUp("the target's agent restarted before it listened");
      return stay(state);

    case "receiving":
      if (event.type === "loaded") return state.handOverAsked ? accept() : stay({ phase: "loaded" });
      if (event.type === "hand-over") return stay({ phase: "receiving", handOverAsked: true });
      if (event.type === "void") return giveUp(event.why);
      if (event.type === "qemu-lost") return giveUp(event.why);
      if (event.type === "restarted") {
        if (event.found === "gone") return giveUp("QEMU ended while the target's agent was away");
        if (event.found === "loaded") return state.handOverAsked ? accept() : stay({ phase: "loaded" });
      }
      return stay(state);

    case "loaded":
      if (event.type === "hand-over") return accept();
      if (event.type === "void") return giveUp(event.why);
      if (event.type === "qemu-lost") return giveUp(event.why);
      if (event.type === "restarted" && event.found === "gone")
        return giveUp("QEMU ended while the target's agent was away");
      return stay(state);

    case "accepted":
      return whileAccepted(state, event);

    case "running":
      if (event.type === "complete") return stay({ phase: "done" });
      if (event.type === "qemu-lost") return stay({ phase: "lost", why: event.why });
      if (event.type === "restarted" && event.found === "gone")
        return stay({ phase: "lost", why: "QEMU ended while the target's agent was away" });
      return stay(state);

    case "done":
    case "lost":
    case "void":
      return stay(state);
  }
}

/** Until a run command may have been obeyed the guest provably never ran here: the promise can still be given. */
function whileAccepted(state: Extract<Target, { phase: "accepted" }>, event: TargetEvent): TargetStep {
  switch (event.type) {
    case "run-sent":
      return stay({ phase: "accepted", sent: state.sent === "none" ? "one" : "unknown" });
    case "run-refused":
      if (state.sent === "one") return giveUp(event.why);
      // Another one may be obeyed any moment: only when QEMU is gone is anything certain.
      return go(state, { do: "kill-qemu" });
    case "guest-running":
      return stay({ phase: "running" });
    case "qemu-lost":
      return state.sent === "none" ? giveUp(event.why) : stay({ phase: "lost", why: event.why });
    case "restarted":
      if (event.found === "gone")
        return stay({ phase: "lost", why: "QEMU ended while the target's agent was away" });
      if (event.found === "running") return stay({ phase: "running" });
      return go({ phase: "accepted", sent: "unknown" }, { do: "adopt-vm" }, { do: "run-guest" });
    default:
      return stay(state);
  }
}
