/**
 * The agent's memory: VM records, migrations with their journal, reports. SQLite with synchronous=FULL, so that a
 * committed step survives a power cut; ownership and phase change in one transaction. This is the embedded
 * implementation of the one-owner port: a fleet store with fencing numbers can stand in its place.
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";

import { type MachineSpec, machineSpec } from "../api/machine.ts";
import { type MigrateSettings, migrateSettings, type MigrationView, type Outcome } from "../api/migration.ts";
import type { Page } from "../api/pages.ts";
import type { HostState } from "../api/peer-routes.ts";
import { type Report, report } from "../api/report.ts";
import type { Source } from "../migration/source-types.ts";
import type { Target } from "../migration/target.ts";
import type { QemuHandle } from "../qemu/types.ts";
import type { RelayHandle } from "../relay/start.ts";
import type { WirePlan } from "../api/wire.ts";
import { makeCursor, readCursor } from "./cursor.ts";
import { Database, type DatabaseOptions } from "./database.ts";
import type { Evidence } from "./evidence.ts";
import { AGENT_SCHEMA } from "./schema.ts";
import { outcomeOf } from "./views.ts";

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
  /** Which way its bytes go; absent until it is chosen, and in records older than the choice: direct. */
  readonly wire?: { readonly plan: WirePlan; readonly reason: string };
  /** This side's relays, oldest first; only the last may run. */
  readonly relays?: readonly RelayHandle[];
  /** At the target: the trace its source began (W3C trace context), when it traces. */
  readonly traceparent?: string;
}

/** What was known when the migration was accepted; the report needs it after the VM has gone. */
export interface Origin {
  readonly machine: MachineSpec;
  readonly accelerator: "kvm" | "tcg";
  readonly qemuVersion: string;
  readonly targetQemuVersion: string;
  /** How busy the target was, and whether a relay waited there; absent in records of older agents. */
  readonly targetState?: HostState;
  /** What both QEMUs can, and the memory of the host that has less left; for the choice of the way. */
  readonly capabilities?: readonly string[];
  readonly compressions?: readonly string[];
  readonly freeBytes?: number;
  /** Why post-copy cannot arrive at the target; empty when it can. */
  readonly postCopyBlocker?: string;
  /** Both agents run under one kernel, as a lab's do. */
  readonly oneMachine?: boolean;
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

/** Which past migrations a list is of. */
export interface MigrationFilter {
  readonly vm?: string | undefined;
  readonly outcome?: Outcome | "active" | undefined;
  readonly since?: string | undefined;
}

/** Ended migrations beyond this are forgotten, the oldest first, with journal and report. */
export const MIGRATIONS_KEPT = 20_000;
/** They go in lots: looking for the oldest reads the index to its end. */
export const FORGOTTEN_LOT = 100;

const RECENT = 1000;

export class Store {
  readonly database: Database;
  readonly #db: DatabaseSync;
  readonly #kept: number;
  readonly #figures: StatementSync;
  #count: number;

  constructor(file: string, options: DatabaseOptions & { readonly migrationsKept?: number } = {}) {
    this.database = new Database(file, AGENT_SCHEMA, options);
    this.#db = this.database.sql;
    this.#kept = options.migrationsKept ?? MIGRATIONS_KEPT;
    this.#figures = this.#db.prepare(
      `SELECT json_extract(report, '$.metrics.total_time_ms') AS total,
              json_extract(report, '$.metrics.downtime_ms.vm') AS pause
       FROM migration WHERE id = ? AND report IS NOT NULL`,
    );
    this.#count = Number(this.#db.prepare("SELECT count(*) AS count FROM migration").get()?.["count"]);
  }

  close(): void {
    this.database.close();
  }

  /** Writes, durably, what stands there already. @throws CodedError DISK_FULL when no step could be journaled now */
  rewrite(): void {
    this.database.write(() => this.#db.exec(`PRAGMA user_version = ${AGENT_SCHEMA.length}`));
  }

  vms(): VmRecord[] {
    return this.#db
      .prepare("SELECT record FROM vm ORDER BY name")
      .all()
      .map((row) => reviveVm(String(row["record"])));
  }

  putVm(vm: VmRecord): void {
    this.database.write(() => this.#putVm(vm));
  }

  dropVm(name: string): void {
    this.database.write(() => this.#dropVm(name));
  }

  /** Newest first, from the cursor's place on. */
  migrations(limit: number, filter: MigrationFilter = {}, cursor?: string): Page<MigrationRecord> {
    const where: string[] = ["TRUE"];
    const values: (string | number)[] = [];
    const only = (condition: string, ...given: (string | number)[]): void => {
      where.push(condition);
      values.push(...given);
    };
    if (filter.vm !== undefined) only("vm = ?", filter.vm);
    if (filter.outcome !== undefined) only("outcome = ?", filter.outcome);
    // As it is stored: to the millisecond, in UTC.
    if (filter.since !== undefined) only("started >= ?", new Date(filter.since).toISOString());
    if (cursor !== undefined) only("(started, rowid) < (?, ?)", ...readCursor(cursor));
    const rows = this.#db
      .prepare(
        `SELECT rowid, started, record FROM migration WHERE ${where.join(" AND ")} ORDER BY started DESC, rowid DESC LIMIT ?`,
      )
      .all(...values, limit + 1);
    const last = rows[limit - 1];
    return {
      items: rows.slice(0, limit).map((row) => reviveMigration(String(row["record"]))),
      next:
        rows.length > limit && last !== undefined
          ? makeCursor(String(last["started"]), Number(last["rowid"]))
          : null,
    };
  }

  /** What a restarted agent holds in memory: the newest, which may be asked about again, and all that has not ended. */
  recent(): MigrationRecord[] {
    return this.#db
      .prepare(
        `SELECT record FROM migration
         WHERE rowid IN (SELECT rowid FROM migration ORDER BY started DESC LIMIT ?)
            OR outcome IN ('active', 'needs-person')
         ORDER BY started DESC, rowid DESC`,
      )
      .all(RECENT)
      .map((row) => reviveMigration(String(row["record"])));
  }

  migration(id: string): MigrationRecord | undefined {
    const row = this.#db.prepare("SELECT record FROM migration WHERE id = ?").get(id);
    return row === undefined ? undefined : reviveMigration(String(row["record"]));
  }

  /** One journaled step: the migration's new state, and the VM records that change with it, or nothing at all. */
  commit(migration: MigrationRecord, vms: { readonly put?: VmRecord; readonly drop?: string } = {}): void {
    this.database.write(() => {
      const known = this.#db.prepare("SELECT 1 FROM migration WHERE id = ?").get(migration.id) !== undefined;
      this.#db
        .prepare(
          `INSERT INTO migration (id, started, record, vm, outcome) VALUES (?, ?, ?, ?, ?)
           ON CONFLICT (id) DO UPDATE SET record = excluded.record, outcome = excluded.outcome`,
        )
        .run(
          migration.id,
          migration.startedAt,
          JSON.stringify(migration),
          migration.vm,
          outcomeOf(migration),
        );
      this.#db
        .prepare("INSERT INTO journal (migration, at, state) VALUES (?, ?, ?)")
        .run(migration.id, new Date().toISOString(), JSON.stringify(migration.state));
      if (vms.put !== undefined) this.#putVm(vms.put);
      if (vms.drop !== undefined) this.#dropVm(vms.drop);
      if (known) return;
      this.#count += 1;
      if (this.#count > this.#kept + FORGOTTEN_LOT) this.#forgetOld();
    });
  }

  journal(id: string): { readonly at: string; readonly state: unknown }[] {
    return this.#db
      .prepare("SELECT at, state FROM journal WHERE migration = ? ORDER BY seq")
      .all(id)
      .map((row) => ({ at: String(row["at"]), state: JSON.parse(String(row["state"])) as unknown }));
  }

  putReport(id: string, document: Report): void {
    this.database.write(() =>
      this.#db.prepare("UPDATE migration SET report = ? WHERE id = ?").run(JSON.stringify(document), id),
    );
  }

  report(id: string): Report | undefined {
    const row = this.#db.prepare("SELECT report FROM migration WHERE id = ?").get(id);
    const text = row?.["report"];
    return typeof text === "string" ? report.parse(JSON.parse(text)) : undefined;
  }

  /** What a list says of a report, without reading the whole of it; undefined where there is none. */
  figures(id: string): MigrationView["figures"] {
    const row = this.#figures.get(id);
    if (row === undefined) return undefined;
    const ms = (value: unknown): number | null => (typeof value === "number" ? value : null);
    return { totalMs: ms(row["total"]), pauseMs: ms(row["pause"]) };
  }

  #putVm(vm: VmRecord): void {
    this.#db
      .prepare("INSERT OR REPLACE INTO vm (name, record) VALUES (?, ?)")
      .run(vm.name, JSON.stringify(vm));
  }

  #dropVm(name: string): void {
    this.#db.prepare("DELETE FROM vm WHERE name = ?").run(name);
  }

  /** What has not ended, or waits for a person, is kept however old it is. */
  #forgetOld(): void {
    const old = this.#db
      .prepare(
        `SELECT id FROM migration WHERE outcome NOT IN ('active', 'needs-person') ORDER BY started DESC, rowid DESC LIMIT -1 OFFSET ?`,
      )
      .all(this.#kept);
    for (const row of old) {
      this.#db.prepare("DELETE FROM journal WHERE migration = ?").run(String(row["id"]));
      this.#db.prepare("DELETE FROM migration WHERE id = ?").run(String(row["id"]));
    }
    // Those still needed do not start the search again with the very next one.
    this.#count = this.#kept;
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
