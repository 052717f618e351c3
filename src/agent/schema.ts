/** The tables of agent.db, as steps from each version to the next. A released step never changes; a new one is added. */
import type { DatabaseSync } from "node:sqlite";

import type { SchemaStep } from "./database.ts";
import type { MigrationRecord } from "./store.ts";
import { outcomeOf } from "./views.ts";

const first: SchemaStep = (db) =>
  db.exec(
    `CREATE TABLE vm (name TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT;
     CREATE TABLE migration (id TEXT PRIMARY KEY, started TEXT NOT NULL, record TEXT NOT NULL, report TEXT) STRICT;
     CREATE TABLE journal (seq INTEGER PRIMARY KEY AUTOINCREMENT, migration TEXT NOT NULL, at TEXT NOT NULL, state TEXT NOT NULL) STRICT;
     CREATE INDEX journal_by_migration ON journal (migration, seq);
     CREATE INDEX migration_by_start ON migration (started DESC);`,
  );

/**
 * Lists by VM and outcome without reading every record. The indexes ascend: read backwards they give the newest first
 * and, within one instant, the row made last, without sorting.
 */
const filters: SchemaStep = (db) => {
  db.exec(
    `ALTER TABLE migration ADD COLUMN vm TEXT NOT NULL DEFAULT '';
     ALTER TABLE migration ADD COLUMN outcome TEXT NOT NULL DEFAULT 'active';
     DROP INDEX migration_by_start;
     CREATE INDEX migration_by_start ON migration (started);
     CREATE INDEX migration_by_vm ON migration (vm, started);
     CREATE INDEX migration_by_outcome ON migration (outcome, started);`,
  );
  fillFilters(db);
};

function fillFilters(db: DatabaseSync): void {
  const update = db.prepare("UPDATE migration SET vm = ?, outcome = ? WHERE id = ?");
  for (const row of db.prepare("SELECT id, record FROM migration").all()) {
    const record = JSON.parse(String(row["record"])) as MigrationRecord;
    update.run(record.vm, outcomeOf(record), String(row["id"]));
  }
}

const people: SchemaStep = (db) =>
  db.exec(
    `CREATE TABLE token (name TEXT PRIMARY KEY, sha256 TEXT NOT NULL UNIQUE, rights TEXT NOT NULL, created TEXT NOT NULL, created_by TEXT NOT NULL, expires TEXT) STRICT;
     CREATE TABLE audit (seq INTEGER PRIMARY KEY, at TEXT NOT NULL, entry TEXT NOT NULL, previous TEXT NOT NULL, hash TEXT NOT NULL) STRICT;
     CREATE TABLE idempotency (who TEXT NOT NULL, key TEXT NOT NULL, at INTEGER NOT NULL, request TEXT NOT NULL, answer TEXT, PRIMARY KEY (who, key)) STRICT;
     CREATE INDEX idempotency_by_time ON idempotency (at);`,
  );

export const AGENT_SCHEMA: readonly SchemaStep[] = [first, filters, people];
