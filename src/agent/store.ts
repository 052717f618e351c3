/**
 * The agent's memory: VM records, migrations with their journal, reports. SQLite with synchronous=FULL, so that a
 * committed step survives a power cut; ownership and phase change in one transaction. This is the embedded
 * implementation of the one-owner port: a fleet store with fencing numbers can stand in its place.
 */
import { DatabaseSync } from "node:sqlite";

import { type MachineSpec, machineSpec } from "../api/machine.ts";
import { type MigrateSettings, migrateSettings } from "../api/migration.ts";
import { type Report, report } from "../api/report.ts";
import type { Source } from "../migration/source-types.ts";
import type { Target } from "../migration/target.ts";
import type { QemuHandle } from "../qemu/types.ts";
import type { Evidence } from "./evidence.ts";

export interface VmRecord {
  readonly name: string;
  readonly machine: MachineSpec;
  readonly accelerator: "kvm" | "tcg";
  /** The one host allowed to run it. */
  readonly owner: string;
  readonly handle: QemuHandle | null;
  readonly migration: string | null;
}

export interface TimelineNote {
  readonly atNs: string;
  readonly what: string;
}

interface MigrationCommon {
  readonly id: string;
  readonly vm: string;
  readonly peer: string;
  readonly settings: MigrateSettings;
  readonly startedAt: string;
  readonly t0Ns: string;
  readonly bootId: string;
  readonly timeline: readonly TimelineNote[];
}

/** What was known when the migration was accepted; the report needs it after the VM has gone. */
export interface Origin {
  readonly machine: MachineSpec;
  readonly accelerator: "kvm" | "tcg";
  readonly qemuVersion: string;
  readonly targetQemuVersion: string;
}
export type MigrationRecord = MigrationCommon &
  (
    | {
        readonly side: "source";
        readonly origin: Origin;
        readonly evidence: Evidence;
        readonly state: Source;
        /** The target has not yet promised never to run its copy. */ readonly voidOwed: boolean;
      }
    | { readonly side: "target"; readonly state: Target }
  );

const SCHEMA = [
  `CREATE TABLE vm (name TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT;
   CREATE TABLE migration (id TEXT PRIMARY KEY, started TEXT NOT NULL, record TEXT NOT NULL, report TEXT) STRICT;
   CREATE TABLE journal (seq INTEGER PRIMARY KEY AUTOINCREMENT, migration TEXT NOT NULL, at TEXT NOT NULL, state TEXT NOT NULL) STRICT;
   CREATE INDEX journal_by_migration ON journal (migration, seq);
   CREATE INDEX migration_by_start ON migration (started DESC);`,
];

export class Store {
  readonly #db: DatabaseSync;

  constructor(file: string) {
    this.#db = new DatabaseSync(file);
    this.#db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 2000;");
    const version = Number(this.#db.prepare("PRAGMA user_version").get()?.["user_version"] ?? 0);
    for (const [index, statements] of SCHEMA.entries()) {
      if (index < version) continue;
      this.#db.exec(`BEGIN; ${statements} PRAGMA user_version = ${index + 1}; COMMIT;`);
    }
  }

  close(): void {
    this.#db.close();
  }

  vms(): VmRecord[] {
    return this.#db
      .prepare("SELECT record FROM vm ORDER BY name")
      .all()
      .map((row) => reviveVm(String(row["record"])));
  }

  putVm(vm: VmRecord): void {
    this.#db
      .prepare("INSERT OR REPLACE INTO vm (name, record) VALUES (?, ?)")
      .run(vm.name, JSON.stringify(vm));
  }

  dropVm(name: string): void {
    this.#db.prepare("DELETE FROM vm WHERE name = ?").run(name);
  }

  migrations(limit: number): MigrationRecord[] {
    return this.#db
      .prepare("SELECT record FROM migration ORDER BY started DESC, rowid DESC LIMIT ?")
      .all(limit)
      .map((row) => reviveMigration(String(row["record"])));
  }

  migration(id: string): MigrationRecord | undefined {
    const row = this.#db.prepare("SELECT record FROM migration WHERE id = ?").get(id);
    return row === undefined ? undefined : reviveMigration(String(row["record"]));
  }

  /** One journaled step: the migration's new state, and the VM records that change with it, or nothing at all. */
  commit(migration: MigrationRecord, vms: { readonly put?: VmRecord; readonly drop?: string } = {}): void {
    this.#db.exec("BEGIN IMMEDIATE");
    try {
      this.#db
        .prepare(
          "INSERT INTO migration (id, started, record) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET record = excluded.record",
        )
        .run(migration.id, migration.startedAt, JSON.stringify(migration));
      this.#db
        .prepare("INSERT INTO journal (migration, at, state) VALUES (?, ?, ?)")
        .run(migration.id, new Date().toISOString(), JSON.stringify(migration.state));
      if (vms.put !== undefined) this.putVm(vms.put);
      if (vms.drop !== undefined) this.dropVm(vms.drop);
      this.#db.exec("COMMIT");
    } catch (error) {
      this.#db.exec("ROLLBACK");
      throw error;
    }
  }

  journal(id: string): { readonly at: string; readonly state: unknown }[] {
    return this.#db
      .prepare("SELECT at, state FROM journal WHERE migration = ? ORDER BY seq")
      .all(id)
      .map((row) => ({ at: String(row["at"]), state: JSON.parse(String(row["state"])) as unknown }));
  }

  putReport(id: string, document: Report): void {
    this.#db.prepare("UPDATE migration SET report = ? WHERE id = ?").run(JSON.stringify(document), id);
  }

  report(id: string): Report | undefined {
    const row = this.#db.prepare("SELECT report FROM migration WHERE id = ?").get(id);
    const text = row?.["report"];
    return typeof text === "string" ? report.parse(JSON.parse(text)) : undefined;
  }
}

// The file is ours, but a newer godwit may have added defaults: specs and settings go through their schema again.
function reviveVm(text: string): VmRecord {
  const record = JSON.parse(text) as VmRecord;
  return { ...record, machine: machineSpec.parse(record.machine) };
}

function reviveMigration(text: string): MigrationRecord {
  const record = JSON.parse(text) as MigrationRecord;
  return { ...record, settings: migrateSettings.parse(record.settings) };
}
