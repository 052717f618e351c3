/**
 * Whether this agent can take part in a migration now: each check with what it found, why it fails and what to do next.
 * Pure; the readings come from observability.ts. That the process lives at all is what /healthz says.
 */
import type { CertificateFacts } from "./certificates.ts";

const DAY_MS = 24 * 3600e3;
/** Closer to its end than this, a certificate must be renewed before anything new is begun. The alert comes at 30 days. */
export const EXPIRY_NEAR_MS = 7 * DAY_MS;

export interface HealthFacts {
  readonly nowMs: number;
  /** Null: a step was written and committed. */
  readonly storeProblem: string | null;
  readonly stateDir: string;
  readonly qemu: { readonly version: string } | { readonly problem: string; readonly next: string };
  readonly certificates: readonly CertificateFacts[];
  readonly listeners: readonly { readonly name: string; readonly up: boolean }[];
}

export type Check = { readonly name: string; readonly what: string } & (
  | { readonly ok: true }
  | { readonly ok: false; readonly why: string; readonly next: string }
);

export interface Readiness {
  readonly ready: boolean;
  readonly checks: readonly Check[];
}

const day = (ms: number): string => new Date(ms).toISOString().slice(0, 10);

function certificate(
  { name, file, validFromMs, expiresAtMs, problem }: CertificateFacts,
  nowMs: number,
): Check {
  const check = `certificate-${name}`;
  const what = expiresAtMs === null ? file : `${file}, valid until ${day(expiresAtMs)}`;
  const bad = (why: string): Check => ({
    name: check,
    what,
    ok: false,
    why,
    next:
      name === "ca"
        ? "Make a new CA, issue every host's certificates again (godwit host init), restart the agents."
        : "Issue this host's certificates again with godwit host init and the same CA, then restart the agent.",
  });
  if (problem !== "") return bad(problem);
  if (validFromMs !== null && validFromMs > nowMs) return bad(`it is valid only from ${day(validFromMs)}`);
  if (expiresAtMs !== null && expiresAtMs <= nowMs) return bad("it has expired");
  if (expiresAtMs !== null && expiresAtMs - nowMs < EXPIRY_NEAR_MS)
    return bad(`it expires in ${Math.floor((expiresAtMs - nowMs) / DAY_MS)} days`);
  return { name: check, what, ok: true };
}

export function readiness({ nowMs, qemu, ...facts }: HealthFacts): Readiness {
  const checks: Check[] = [
    facts.storeProblem === null
      ? { name: "store", what: facts.stateDir, ok: true }
      : {
          name: "store",
          what: facts.stateDir,
          ok: false,
          why: facts.storeProblem,
          next: `Free space in ${facts.stateDir}, or make it writable again.`,
        },
    "version" in qemu
      ? { name: "qemu", what: `QEMU ${qemu.version}`, ok: true }
      : { name: "qemu", what: "QEMU", ok: false, why: qemu.problem, next: qemu.next },
    ...facts.certificates.map((each) => certificate(each, nowMs)),
    ...facts.listeners.map(({ name, up }): Check => {
      const check = `listener-${name}`;
      return up
        ? { name: check, what: name, ok: true }
        : {
            name: check,
            what: name,
            ok: false,
            why: "nobody listens there",
            next: "Look at the agent's log and start it again.",
          };
    }),
  ];
  return { ready: checks.every((check) => check.ok), checks };
}
