/** The part of the error catalogue about callers of the agent's HTTP API: who they are, and how they ask. */
import { type Entry, ExitCode, s } from "./error-entry.ts";

export const accessErrors = {
  TOKEN_NEEDED: {
    status: 401,
    exit: ExitCode.usage,
    what: (d) => `${s(d, "path")} is for callers with a token.`,
    next: () => 'Send "Authorization: Bearer …"; godwit token create makes one on that host.',
  },
  TOKEN_INVALID: {
    status: 401,
    exit: ExitCode.usage,
    what: () => "The token is not valid here: unknown, expired or revoked.",
    next: () => "godwit token list shows the valid ones of that host; godwit token create makes another.",
  },
  TOKEN_EXISTS: {
    status: 409,
    exit: ExitCode.usage,
    what: (d) => `A token named ${s(d, "name")} exists already.`,
    next: (d) => `Choose another name, or revoke it first: godwit token revoke ${s(d, "name")}`,
  },
  TOKEN_UNKNOWN: {
    status: 404,
    exit: ExitCode.usage,
    what: (d) => `No valid token is named ${s(d, "name")}.`,
    next: () => "godwit token list shows them.",
  },
  RIGHT_MISSING: {
    status: 403,
    exit: ExitCode.usage,
    what: (d) => `${s(d, "who")} lacks the right ${s(d, "right")}.`,
    next: (d) => `Ask for a token with it: godwit token create --rights ${s(d, "right")}`,
  },
  ORIGIN_REFUSED: {
    status: 403,
    exit: ExitCode.usage,
    what: (d) => `The ${s(d, "header")} header names ${s(d, "value")}, which is not this agent.`,
    next: () =>
      "Use an address of the agent's certificate, or list the name under http.names in its configuration.",
  },
  IDEMPOTENCY_CONFLICT: {
    status: 409,
    exit: ExitCode.usage,
    what: (d) => `The Idempotency-Key ${s(d, "key")} was used for another request.`,
    next: () => "Make a new key for each new request; keep one only to repeat the very same request.",
  },
  IDEMPOTENCY_UNCERTAIN: {
    status: 409,
    exit: ExitCode.failed,
    what: (d) =>
      `The agent ended while it worked on the request of Idempotency-Key ${s(d, "key")}; whether it took effect is not recorded.`,
    next: () =>
      "Look first (godwit status, godwit list), then ask again with a new key if it is still wanted.",
  },
  OVERLOADED: {
    status: 503,
    exit: ExitCode.failed,
    what: (d) => `There are too many ${s(d, "what")} (${s(d, "limit")} are allowed).`,
    next: () => "Close some, or try again later.",
  },
} as const satisfies Record<string, Entry>;
