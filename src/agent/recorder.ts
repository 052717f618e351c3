/**
 * Keeps recordings: listens to the agent's own events, thins them, and writes them to a file of their own, so that
 * neither a full nor a damaged recordings file ever touches the journal. A recording is written a few times a minute and
 * at the end: a crash costs its last seconds at most.
 */
import { promisify } from "node:util";
import { deflateRaw, inflateRawSync } from "node:zlib";

import { z } from "zod";

import type { MigrationView, PhaseName } from "../api/migration.ts";
import type { Page } from "../api/pages.ts";
import { recordedSample, recordingSummary } from "../api/recording.ts";
import { toCodedError } from "../std/errors.ts";
import { makeCursor, readCursor } from "./cursor.ts";
import { Database, type DatabaseOptions, type SchemaStep } from "./database.ts";
import type { EventHub } from "./events.ts";
import type { Log } from "./log.ts";
import { NO_SAMPLES, type Samples, withSample } from "./samples.ts";

const SCHEMA: readonly SchemaStep[] = [
  (db) =>
    db.exec(
      `CREATE TABLE recording (id TEXT PRIMARY KEY, vm TEXT NOT NULL, started TEXT NOT NULL, samples INTEGER NOT NULL, duration REAL NOT NULL, data BLOB NOT NULL) STRICT;
       CREATE INDEX recording_by_start ON recording (started);
       CREATE INDEX recording_by_vm ON recording (vm, started);`,
    ),
];

export const RECORDINGS_KEPT = 2_000;
/** Some 20 KiB each, packed; SQLite refuses to grow beyond it, and the oldest make room. */
const FILE_BYTES_MAX = 256 * 2 ** 20;
const WRITE_INTERVAL_MS = 10_000;
const TEXT_BYTES_MAX = 16 * 2 ** 20;

/** Nothing is written while the guest may be waiting for the agent. */
const PAUSED: ReadonlySet<PhaseName> = new Set(["switching", "handing-over", "handed-over"]);

const stored = z.object({ intervalMs: z.number().positive(), samples: z.array(recordedSample) });
const deflate = promisify(deflateRaw);

export interface RecorderOptions extends DatabaseOptions {
  readonly kept?: number;
  readonly writeIntervalMs?: number;
}

interface Running {
  readonly view: MigrationView;
  readonly samples: Samples;
  readonly writtenAtMs: number;
}

export class Recorder {
  readonly #database: Database;
  readonly #log: Log;
  readonly #kept: number;
  readonly #intervalMs: number;
  readonly #running = new Map<string, Running>();
  readonly #stop: () => void;
  #writing: Promise<void> = Promise.resolve();

  constructor(file: string, hub: EventHub, log: Log, options: RecorderOptions = {}) {
    this.#database = new Database(file, SCHEMA, {
      synchronous: "NORMAL",
      bytesMax: FILE_BYTES_MAX,
      ...options,
    });
    this.#log = log;
    this.#kept = options.kept ?? RECORDINGS_KEPT;
    this.#intervalMs = options.writeIntervalMs ?? WRITE_INTERVAL_MS;
    this.#stop = hub.subscribe(({ event }) => {
      if (event.type === "migration") this.#saw(event.migration);
    });
  }

  /** What is kept of a migration, the part not yet written included. */
  samples(id: string): Samples {
    const running = this.#running.get(id);
    if (running !== undefined) return running.samples;
    const row = this.#database.sql.prepare("SELECT data FROM recording WHERE id = ?").get(id);
    if (row === undefined) return NO_SAMPLES;
    const text = inflateRawSync(row["data"] as Uint8Array, { maxOutputLength: TEXT_BYTES_MAX });
    return stored.parse(JSON.parse(text.toString("utf8")));
  }

  list(
    limit: number,
    vm: string | undefined,
    cursor: string | undefined,
  ): Page<z.infer<typeof recordingSummary>> {
    const where: string[] = ["TRUE"];
    const values: (string | number)[] = [];
    if (vm !== undefined) {
      where.push("vm = ?");
      values.push(vm);
    }
    if (cursor !== undefined) {
      where.push("(started, rowid) < (?, ?)");
      values.push(...readCursor(cursor));
    }
    const rows = this.#database.sql
      .prepare(
        `SELECT rowid, id, vm, started, samples, duration FROM recording WHERE ${where.join(" AND ")} ORDER BY started DESC, rowid DESC LIMIT ?`,
      )
      .all(...values, limit + 1);
    const last = rows[limit - 1];
    return {
      items: rows.slice(0, limit).map((row) =>
        recordingSummary.parse({
          id: row["id"],
          vm: row["vm"],
          startedAt: row["started"],
          samples: row["samples"],
          durationMs: row["duration"],
        }),
      ),
      next:
        rows.length > limit && last !== undefined
          ? makeCursor(String(last["started"]), Number(last["rowid"]))
          : null,
    };
  }

  /** Settles when everything asked to be written is. */
  get written(): Promise<void> {
    return this.#writing;
  }

  async close(): Promise<void> {
    this.#stop();
    for (const id of this.#running.keys()) this.#write(id);
    await this.#writing;
    this.#database.close();
  }

  #saw(view: MigrationView): void {
    const { id, progress } = view;
    if (progress === undefined) return;
    // After the agent restarted, its recording goes on.
    const known = this.#running.get(id);
    const before = known?.samples ?? this.samples(id);
    const samples = withSample(before, { atMs: progress.elapsedMs, progress });
    const nowMs = performance.now();
    this.#running.set(id, { view, samples, writtenAtMs: known?.writtenAtMs ?? nowMs });
    if (view.outcome !== undefined) return this.#write(id);
    const due = nowMs - (known?.writtenAtMs ?? nowMs) >= this.#intervalMs;
    if (!due || PAUSED.has(progress.phase)) return;
    this.#running.set(id, { view, samples, writtenAtMs: nowMs });
    this.#write(id);
  }

  #write(id: string): void {
    const running = this.#running.get(id);
    if (running === undefined) return;
    const { view, samples } = running;
    this.#writing = this.#writing.then(async () => {
      try {
        const data = await deflate(JSON.stringify(samples));
        this.#put(view, samples, data);
      } catch (error) {
        this.#log.warn({ migration: id, err: toCodedError(error) }, "the recording could not be written");
      }
      if (view.outcome !== undefined && this.#running.get(id) === running) this.#running.delete(id);
    });
  }

  #put(view: MigrationView, { samples }: Samples, data: Buffer): void {
    const put = (): void =>
      this.#database.write(() => {
        const { sql } = this.#database;
        sql
          .prepare(
            `INSERT INTO recording (id, vm, started, samples, duration, data) VALUES (?, ?, ?, ?, ?, ?)
             ON CONFLICT (id) DO UPDATE SET samples = excluded.samples, duration = excluded.duration, data = excluded.data`,
          )
          .run(view.id, view.vm, view.startedAt, samples.length, samples.at(-1)?.atMs ?? 0, data);
        this.#forget(this.#kept);
      });
    try {
      put();
    } catch (error) {
      if (toCodedError(error).code !== "DISK_FULL") throw error;
      const count = this.#database.sql.prepare("SELECT count(*) AS count FROM recording").get();
      this.#database.write(() => this.#forget(Math.floor(Number(count?.["count"]) / 2)));
      put();
    }
  }

  #forget(kept: number): void {
    this.#database.sql
      .prepare(
        "DELETE FROM recording WHERE rowid IN (SELECT rowid FROM recording ORDER BY started DESC, rowid DESC LIMIT -1 OFFSET ?)",
      )
      .run(kept);
  }
}
