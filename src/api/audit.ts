/**
 * The audit log as it is shown: every change and every refusal, each entry holding the hash of the one before it, so
 * that an entry changed or taken out shows.
 */
import { z } from "zod";

import { pageOf } from "./pages.ts";

export const AUDIT_OUTCOMES = ["done", "refused"] as const;

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

export const auditEntry = z.strictObject({
  /** From 1, without gaps. */
  seq: z.int().positive(),
  at: z.iso.datetime(),
  /** `socket`, `token alice`, `peer b`, or `nobody 192.0.2.7` for a caller without a valid token. */
  who: z.string(),
  /** The route's name (`migrate`), or what happened without one. */
  what: z.string(),
  /** What it was done to: the path, and what the answer named. */
  to: z.string(),
  outcome: z.enum(AUDIT_OUTCOMES),
  /** The refusal's code; null when it was done. */
  code: z.string().nullable(),
  /** More of the same in one entry: a flood of refusals is counted, not listed. */
  times: z.int().positive(),
  previous: sha256,
  hash: sha256,
});
export type AuditEntry = z.infer<typeof auditEntry>;

export const auditPage = pageOf(auditEntry);

export const auditVerification = z.strictObject({
  ok: z.boolean(),
  entries: z.int().nonnegative(),
  /** The oldest entry kept; older ones were removed by the retention limit. */
  from: z.int().positive().nullable(),
  head: z.strictObject({ seq: z.int().nonnegative(), hash: sha256 }),
  /** The first entry that does not fit, and why. */
  broken: z.strictObject({ seq: z.int().nonnegative(), why: z.string() }).nullable(),
});
export type AuditVerification = z.infer<typeof auditVerification>;
