/** Why something could not be done, as it is shown: the stable code, the sentence, and the next step. */
import { problem, type Problem } from "../../api/host.ts";
import { CodedError, toCodedError } from "../../std/errors.ts";

export interface Refusal {
  readonly code: string;
  readonly what: string;
  readonly next: string;
  readonly status?: number;
}

/** Thrown by every call; carries what the agent said even when this version does not know the code. */
export class Refused extends Error {
  override readonly name = "Refused";
  readonly refusal: Refusal;
  constructor(refusal: Refusal) {
    super(refusal.what);
    this.refusal = refusal;
  }
}

const ofProblem = ({ code, detail, next, status }: Problem): Refusal => ({
  code,
  what: detail,
  next,
  status,
});

export function refusalOf(error: unknown): Refusal {
  if (error instanceof Refused) return error.refusal;
  const coded = toCodedError(error);
  return { code: coded.code, what: coded.message, next: coded.next };
}

/** An answer that is no success. */
export function refusalOfAnswer(status: number, body: unknown): Refusal {
  const parsed = problem.safeParse(body);
  if (parsed.success) return ofProblem(parsed.data);
  if (status === 401 || status === 403) {
    return {
      code: `HTTP_${status}`,
      what: status === 401 ? "The agent does not know this token." : "This token may not do that.",
      next: "Paste a token that may; the agent's operator issues them.",
      status,
    };
  }
  return { ...garbage(`status ${status} without a problem document`), status };
}

export const garbage = (what: string): Refusal =>
  refusalOf(new CodedError("PEER_GARBAGE", { host: "behind this page", problem: what }));

export const unreachable = (): Refusal => ({
  code: "AGENT_UNREACHABLE",
  what: "The agent does not answer.",
  next: "Migrations go on without this page. It connects again by itself as soon as the agent is back.",
});

export const stalled = (): Refusal => ({
  code: "PEER_STALLED",
  what: "The agent did not answer in time.",
  next: "See that the host is alive, then try again.",
});

/** Whether waiting can help; a token that is refused stays refused. */
export const isAboutToken = (refusal: Refusal): boolean => refusal.status === 401 || refusal.status === 403;
