/** What a check of this host is: facts gathered at the edge, and a judgement that sees nothing but them. */
import type { AgentConfig } from "../agent/config.ts";

/** `blocker`: something will not work. `warning`: it works, but less well or not for long. */
export type Severity = "fine" | "warning" | "blocker";

export interface Verdict {
  readonly severity: Severity;
  readonly what: string;
  /** The one command, or else the one step, that cures it. Empty when all is fine. */
  readonly next: string;
}

/** The host as its agent's configuration describes it; without one, the checks take the defaults. */
export interface Host {
  readonly configFile: string;
  readonly config: AgentConfig | undefined;
  /** Why there is no configuration; empty when there is one. */
  readonly configProblem: string;
}

export interface Check<Facts> {
  readonly name: string;
  gather(host: Host): Promise<Facts> | Facts;
  judge(facts: Facts): readonly Verdict[];
}

export const fine = (what: string): Verdict => ({ severity: "fine", what, next: "" });
export const warning = (what: string, next: string): Verdict => ({ severity: "warning", what, next });
export const blocker = (what: string, next: string): Verdict => ({ severity: "blocker", what, next });
