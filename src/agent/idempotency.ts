/**
 * Idempotency-Key: the same request under the same key within a day gets the first answer again, and takes effect
 * once, also when both come at the same time or the agent restarts in between. Refusals change nothing and are not
 * kept: asked again, the request is tried again.
 */
import { createHash } from "node:crypto";

import { CodedError } from "../std/errors.ts";
import type { Database } from "./database.ts";

export const REMEMBERED_MS = 24 * 3600e3;
/** Beyond this the oldest go early. */
export const ANSWERS_MAX = 10_000;
const KEY = /^[\x21-\x7e]{1,255}$/;

export interface Keyed {
  /** Whose key it is: the same text from two callers is two keys. */
  readonly who: string;
  readonly key: string;
  readonly method: string;
  readonly path: string;
  readonly body: unknown;
}

export class Idempotency {
  readonly #database: Database;
  readonly #nowMs: () => number;
  readonly #running = new Map<string, Promise<unknown>>();

  constructor(database: Database, nowMs: () => number = Date.now) {
    this.#database = database;
    this.#nowMs = nowMs;
  }

  async once(
    keyed: Keyed,
    run: () => Promise<unknown>,
  ): Promise<{ readonly answer: unknown; readonly replayed: boolean }> {
    const { who, key } = keyed;
    if (!KEY.test(key)) {
      throw new CodedError("REQUEST_INVALID", {
        problem: "Idempotency-Key: 1 to 255 printable ASCII characters without spaces",
      });
    }
    const request = fingerprint(keyed);
    const place = JSON.stringify([who, key]);
    const row = this.#database.sql
      .prepare("SELECT request, answer FROM idempotency WHERE who = ? AND key = ? AND at > ?")
      .get(who, key, this.#nowMs() - REMEMBERED_MS);
    if (row !== undefined) {
      if (row["request"] !== request) throw new CodedError("IDEMPOTENCY_CONFLICT", { key });
      if (typeof row["answer"] === "string") {
        return { answer: JSON.parse(row["answer"]) as unknown, replayed: true };
      }
      // A row without an answer that nobody works on is from before a crash.
      const first = this.#running.get(place);
      if (first === undefined) throw new CodedError("IDEMPOTENCY_UNCERTAIN", { key });
      return { answer: await first, replayed: true };
    }
    this.#begin(who, key, request);
    const first = run();
    this.#running.set(place, first);
    const stored = await first.then(
      (answer) => this.#store(who, key, answer),
      () => this.#forget(who, key),
    );
    // What the disk did not take is answered from memory.
    if (stored) this.#running.delete(place);
    return { answer: await first, replayed: false };
  }

  /** The effect has taken place: a full disk must not turn it into a refusal. */
  #store(who: string, key: string, answer: unknown): boolean {
    try {
      this.#database.write(() =>
        this.#database.sql
          .prepare("UPDATE idempotency SET answer = ? WHERE who = ? AND key = ?")
          .run(JSON.stringify(answer), who, key),
      );
      return true;
    } catch {
      return false;
    }
  }

  #forget(who: string, key: string): true {
    try {
      this.#database.write(() =>
        this.#database.sql.prepare("DELETE FROM idempotency WHERE who = ? AND key = ?").run(who, key),
      );
    } catch {
      // Asked again, it is said to be uncertain, which does no harm.
    }
    return true;
  }

  #begin(who: string, key: string, request: string): void {
    const { sql } = this.#database;
    this.#database.write(() => {
      sql.prepare("DELETE FROM idempotency WHERE at <= ?").run(this.#nowMs() - REMEMBERED_MS);
      sql
        .prepare(
          "DELETE FROM idempotency WHERE rowid IN (SELECT rowid FROM idempotency ORDER BY at DESC LIMIT -1 OFFSET ?)",
        )
        .run(ANSWERS_MAX - 1);
      sql
        .prepare("INSERT INTO idempotency (who, key, at, request) VALUES (?, ?, ?, ?)")
        .run(who, key, this.#nowMs(), request);
    });
  }
}

/** Equal for equal requests, whatever the order of keys in their bodies. */
function fingerprint({ method, path, body }: Keyed): string {
  return createHash("sha256")
    .update(JSON.stringify([method, path, sorted(body)]))
    .digest("hex");
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  return Object.entries(value)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, each]) => [key, sorted(each)]);
}
