/**
 * Tokens of people and programs: opaque random text, of which only the SHA-256 is kept, so that a stolen copy of the
 * store lets nobody in. A revoked token is gone; that it existed is in the audit log.
 */
import { createHash, randomBytes } from "node:crypto";

import { z } from "zod";

import { right, type NewToken, type TokenRequest, type TokenView } from "../api/access.ts";
import { CodedError } from "../std/errors.ts";
import type { Database } from "./database.ts";
import type { Identity } from "./identity.ts";

/** Marks the text as ours, for scanners that look for leaked secrets. */
const PREFIX = "gwt_";
const SECRET_BYTES = 32;
export const TOKENS_MAX = 1000;

const rightsOf = (text: unknown) => z.array(right).parse(JSON.parse(String(text)));

export class Tokens {
  readonly #database: Database;
  readonly #nowMs: () => number;

  constructor(database: Database, nowMs: () => number = Date.now) {
    this.#database = database;
    this.#nowMs = nowMs;
  }

  /** Those valid now. */
  list(): TokenView[] {
    return this.#database.sql
      .prepare("SELECT * FROM token WHERE expires IS NULL OR expires > ? ORDER BY name")
      .all(this.#now())
      .map(viewOf);
  }

  create({ name, rights, expiresInMs }: TokenRequest, createdBy: string): NewToken {
    const token = PREFIX + randomBytes(SECRET_BYTES).toString("base64url");
    const view: TokenView = {
      name,
      rights,
      createdAt: this.#now(),
      createdBy,
      expiresAt: expiresInMs === undefined ? null : new Date(this.#nowMs() + expiresInMs).toISOString(),
    };
    this.#database.write(() => {
      const { sql } = this.#database;
      sql.prepare("DELETE FROM token WHERE expires <= ?").run(view.createdAt);
      if (sql.prepare("SELECT 1 FROM token WHERE name = ?").get(name) !== undefined) {
        throw new CodedError("TOKEN_EXISTS", { name });
      }
      const count = Number(sql.prepare("SELECT count(*) AS count FROM token").get()?.["count"]);
      if (count >= TOKENS_MAX) throw new CodedError("OVERLOADED", { what: "tokens", limit: TOKENS_MAX });
      sql
        .prepare(
          "INSERT INTO token (name, sha256, rights, created, created_by, expires) VALUES (?, ?, ?, ?, ?, ?)",
        )
        .run(name, sha256(token), JSON.stringify(rights), view.createdAt, createdBy, view.expiresAt);
    });
    return { token, ...view };
  }

  revoke(name: string): TokenView {
    const view = this.list().find((each) => each.name === name);
    if (view === undefined) throw new CodedError("TOKEN_UNKNOWN", { name });
    this.#database.write(() => this.#database.sql.prepare("DELETE FROM token WHERE name = ?").run(name));
    return view;
  }

  /** @throws CodedError TOKEN_INVALID */
  identify(token: string): Identity {
    const row = this.#database.sql
      .prepare("SELECT * FROM token WHERE sha256 = ? AND (expires IS NULL OR expires > ?)")
      .get(sha256(token), this.#now());
    if (row === undefined) throw new CodedError("TOKEN_INVALID");
    const { name, rights, expiresAt } = viewOf(row);
    return { kind: "token", name, rights, expiresAt };
  }

  #now(): string {
    return new Date(this.#nowMs()).toISOString();
  }
}

const sha256 = (token: string): string => createHash("sha256").update(token).digest("hex");

const viewOf = (row: Record<string, unknown>): TokenView => ({
  name: String(row["name"]),
  rights: rightsOf(row["rights"]),
  createdAt: String(row["created"]),
  createdBy: String(row["created_by"]),
  expiresAt: typeof row["expires"] === "string" ? row["expires"] : null,
});
