/**
 * The audit log: every change and every refusal, appended and chained. The head is kept apart in a file and told to
 * the agent's log, so that entries cut off the end show. A flood of refusals becomes one entry with a count.
 */
import { readFileSync, renameSync, writeFileSync } from "node:fs";

import { z } from "zod";

import { auditEntry, type AuditEntry, type AuditVerification } from "../api/audit.ts";
import type { Page } from "../api/pages.ts";
import { toCodedError } from "../std/errors.ts";
import { chained, type Head, type Marks, NO_ENTRY, verify } from "./audit-chain.ts";
import { makeCursor, readCursor } from "./cursor.ts";
import type { Database } from "./database.ts";
import type { Log } from "./log.ts";

export interface Note {
  readonly who: string;
  readonly what: string;
  readonly to: string;
  readonly outcome: AuditEntry["outcome"];
  readonly code: string | null;
}

/** Entries kept; the oldest go. Some 250 bytes each. */
export const AUDIT_KEPT = 200_000;
/** The oldest are taken away in lots, so that it is not done with every entry. */
const LOT = 1000;
/** Refusals written one by one in each window; the rest of the window is counted. */
export const REFUSALS_PER_WINDOW = 60;
export const WINDOW_MS = 60_000;
/** What could not be written (a full disk) waits in memory. */
const WAITING_MAX = 1000;
const FIELD_CHARS_MAX = 300;

const head = z.object({ seq: z.int().nonnegative(), hash: z.string() });
const marks = z.object({ base: head, head, misfit: head.optional() });

export interface AuditOptions {
  readonly kept?: number;
  readonly nowMs?: () => number;
}

export class AuditLog {
  readonly #database: Database;
  readonly #marksFile: string;
  readonly #log: Log;
  readonly #kept: number;
  readonly #nowMs: () => number;
  readonly #waiting: Omit<AuditEntry, "seq" | "previous" | "hash">[] = [];
  #base: Head;
  #head: Head;
  readonly #misfit: Head | undefined;
  #window = { fromMs: 0, refusals: 0, uncounted: 0 };

  constructor(database: Database, marksFile: string, log: Log, options: AuditOptions = {}) {
    this.#database = database;
    this.#marksFile = marksFile;
    this.#log = log;
    this.#kept = options.kept ?? AUDIT_KEPT;
    this.#nowMs = options.nowMs ?? Date.now;
    const last = database.sql.prepare("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1").get();
    const first = database.sql.prepare("SELECT seq, previous FROM audit ORDER BY seq LIMIT 1").get();
    const known = readMarks(marksFile);
    this.#base =
      known?.base ??
      (first === undefined ? NO_ENTRY : { seq: Number(first["seq"]) - 1, hash: String(first["previous"]) });
    // After entries were cut off the end, the chain goes on from the head that was kept: the gap stays visible.
    const inTable =
      last === undefined ? this.#base : { seq: Number(last["seq"]), hash: String(last["hash"]) };
    this.#head = known !== undefined && known.head.seq > inTable.seq ? known.head : inTable;
    const there =
      known &&
      database.sql
        .prepare("SELECT 1 FROM audit WHERE seq = ? AND hash <> ?")
        .get(known.head.seq, known.head.hash);
    this.#misfit = known?.misfit ?? (there === undefined ? undefined : known?.head);
  }

  /** Never throws: what was done is done; what cannot be written yet waits, and new work is refused meanwhile. */
  note(note: Note): void {
    const nowMs = this.#nowMs();
    this.#closeWindow(nowMs);
    if (note.outcome === "refused") {
      this.#window.refusals += 1;
      if (this.#window.refusals > REFUSALS_PER_WINDOW) {
        this.#window.uncounted += 1;
        return;
      }
    }
    this.#append({ ...trimmed(note), at: new Date(nowMs).toISOString(), times: 1 });
  }

  /** Writes what waited. @throws CodedError DISK_FULL while it cannot */
  flush(): void {
    if (this.#waiting.length === 0) return;
    const entries: AuditEntry[] = [];
    let at = this.#head;
    for (const waiting of this.#waiting) {
      const entry = chained(at, waiting);
      entries.push(entry);
      at = entry;
    }
    this.#database.write(() => {
      const insert = this.#database.sql.prepare(
        "INSERT INTO audit (seq, at, entry, previous, hash) VALUES (?, ?, ?, ?, ?)",
      );
      for (const entry of entries)
        insert.run(entry.seq, entry.at, JSON.stringify(entry), entry.previous, entry.hash);
    });
    this.#waiting.length = 0;
    this.#head = { seq: at.seq, hash: at.hash };
    if (at.seq - this.#base.seq > this.#kept + LOT) this.#forgetOld();
    this.#writeMarks();
    for (const { seq, hash, at: when, who, what, to, outcome, code } of entries)
      this.#log.info({ audit: { seq, hash, when, who, to, outcome, code } }, `audit: ${what}`);
  }

  list(limit: number, since: string | undefined, cursor: string | undefined): Page<AuditEntry> {
    const [, before] = cursor === undefined ? ["", Number.MAX_SAFE_INTEGER] : readCursor(cursor);
    const rows = this.#database.sql
      .prepare("SELECT entry FROM audit WHERE seq < ? AND at >= ? ORDER BY seq DESC LIMIT ?")
      .all(before, since === undefined ? "" : new Date(since).toISOString(), limit + 1)
      .map((row) => auditEntry.parse(JSON.parse(String(row["entry"]))));
    const last = rows[limit - 1];
    return {
      items: rows.slice(0, limit),
      next: rows.length > limit && last !== undefined ? makeCursor("", last.seq) : null,
    };
  }

  verify(): AuditVerification {
    return verify(this.#all(), readMarks(this.#marksFile));
  }

  /** Before the agent ends: a count that is still open becomes an entry. */
  close(): void {
    this.#closeWindow(Number.POSITIVE_INFINITY);
  }

  *#all(): Generator<AuditEntry> {
    const rows = this.#database.sql.prepare("SELECT seq, entry, previous, hash FROM audit ORDER BY seq");
    for (const row of rows.iterate()) {
      // A changed row must show as one, whatever it holds now.
      const parsed = auditEntry.safeParse(parsedJson(String(row["entry"])));
      const chain = { previous: String(row["previous"]), hash: String(row["hash"]) };
      yield parsed.success && parsed.data.seq === Number(row["seq"])
        ? { ...parsed.data, ...chain }
        : { ...ILLEGIBLE, ...chain, seq: Number(row["seq"]) };
    }
  }

  #closeWindow(nowMs: number): void {
    if (nowMs - this.#window.fromMs < WINDOW_MS) return;
    const { uncounted } = this.#window;
    this.#window = { fromMs: nowMs, refusals: 0, uncounted: 0 };
    if (uncounted === 0) return;
    this.#append({
      who: "many",
      what: "refusals",
      to: "",
      outcome: "refused",
      code: null,
      at: new Date(Math.min(nowMs, this.#nowMs())).toISOString(),
      times: uncounted,
    });
  }

  #append(entry: Omit<AuditEntry, "seq" | "previous" | "hash">): void {
    if (this.#waiting.length < WAITING_MAX) this.#waiting.push(entry);
    else this.#log.error({ audit: entry }, "an audit entry is only in this log: the disk is full");
    try {
      this.flush();
    } catch (error) {
      this.#log.error({ err: toCodedError(error) }, "the audit log cannot be written; its entries wait");
    }
  }

  #forgetOld(): void {
    const seq = this.#head.seq - this.#kept;
    const row = this.#database.sql.prepare("SELECT hash FROM audit WHERE seq = ?").get(seq);
    if (row === undefined) return;
    this.#database.write(() => this.#database.sql.prepare("DELETE FROM audit WHERE seq <= ?").run(seq));
    this.#base = { seq, hash: String(row["hash"]) };
  }

  #writeMarks(): void {
    try {
      const text = JSON.stringify({
        base: this.#base,
        head: this.#head,
        misfit: this.#misfit,
      } satisfies Marks);
      writeFileSync(`${this.#marksFile}.new`, text, { mode: 0o600 });
      renameSync(`${this.#marksFile}.new`, this.#marksFile);
    } catch (error) {
      this.#log.error({ err: error as Error }, "the audit log's head cannot be kept apart");
    }
  }
}

const ILLEGIBLE = { at: "", who: "", what: "", to: "", outcome: "done", code: null, times: 0 } as const;

/** Names from outside have a limit wherever they are kept. */
const trimmed = (note: Note): Note => ({
  ...note,
  who: note.who.slice(0, FIELD_CHARS_MAX),
  to: note.to.slice(0, FIELD_CHARS_MAX),
});

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function readMarks(file: string): Marks | undefined {
  try {
    return marks.parse(JSON.parse(readFileSync(file, "utf8")));
  } catch {
    return undefined;
  }
}
