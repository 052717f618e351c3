/** The chain of audit entries: what an entry's hash covers, and where a chain breaks. Reads no file and no clock. */
import { createHash } from "node:crypto";

import type { AuditEntry, AuditVerification } from "../api/audit.ts";

export type Unchained = Omit<AuditEntry, "previous" | "hash">;
export interface Head {
  readonly seq: number;
  readonly hash: string;
}

/** What the first entry's `previous` is. */
export const NO_ENTRY: Head = { seq: 0, hash: "0".repeat(64) };

/** Over a fixed order of fields, so that the same entry has one hash wherever it is read. */
export function hashOf(previous: string, entry: Unchained): string {
  const { seq, at, who, what, to, outcome, code, times } = entry;
  const text = JSON.stringify([previous, seq, at, who, what, to, outcome, code, times]);
  return createHash("sha256").update(text).digest("hex");
}

export function chained(head: Head, entry: Omit<Unchained, "seq">): AuditEntry {
  const numbered = { ...entry, seq: head.seq + 1 };
  return { ...numbered, previous: head.hash, hash: hashOf(head.hash, numbered) };
}

const REWRITTEN = "it is not the entry whose hash was kept apart: the log was rewritten";

/** What is kept apart from the entries: where the log begins (after the retention limit cut it) and where it ends. */
export interface Marks {
  readonly base: Head;
  readonly head: Head;
  /** A head that was kept once and did not fit when the agent started: later heads must not hide it. */
  readonly misfit?: Head | undefined;
}

/**
 * Entries oldest first. `kept` is undefined when the marks are gone. Entries beyond the kept head are not a break: the
 * marks are written after the entry, and the agent may have died in between.
 */
export function verify(entries: Iterable<AuditEntry>, kept: Marks | undefined): AuditVerification {
  let last = kept?.base ?? NO_ENTRY;
  let count = 0;
  let from: number | null = null;
  let seenHead = kept === undefined || kept.head.seq === last.seq;
  const broken = (seq: number, why: string): AuditVerification => ({
    ok: false,
    entries: count,
    from,
    head: { seq: last.seq, hash: last.hash },
    broken: { seq, why },
  });
  for (const entry of entries) {
    from ??= entry.seq;
    if (entry.seq !== last.seq + 1) {
      return broken(last.seq + 1, `entry ${last.seq + 1} is missing; the next one there is ${entry.seq}`);
    }
    if (entry.previous !== last.hash) {
      return broken(entry.seq, "it does not follow the entry before it: one of the two was changed");
    }
    if (entry.hash !== hashOf(entry.previous, entry)) return broken(entry.seq, "it was changed");
    const { misfit } = kept ?? {};
    if (misfit?.seq === entry.seq && misfit.hash !== entry.hash) return broken(entry.seq, REWRITTEN);
    count += 1;
    last = { seq: entry.seq, hash: entry.hash };
    if (kept !== undefined && entry.seq === kept.head.seq) {
      if (entry.hash !== kept.head.hash) {
        return broken(entry.seq, REWRITTEN);
      }
      seenHead = true;
    }
  }
  if (!seenHead && kept !== undefined) {
    return broken(last.seq + 1, `entries ${last.seq + 1} to ${kept.head.seq} were cut off the end`);
  }
  if (kept === undefined && count > 0) {
    return broken(last.seq, "the head kept apart is gone: entries may be missing at the end");
  }
  return { ok: true, entries: count, from, head: { seq: last.seq, hash: last.hash }, broken: null };
}
