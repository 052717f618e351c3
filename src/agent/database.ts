/**
 * One SQLite file: opened, brought to the newest schema step by step, and never left in a half-done transaction. What
 * is written survives kill -9 and a power cut. A reserve on the disk is given up when the disk is full, so that work
 * under way can end; new work is refused until there is room again. What is in the tables is for others to know.
 */
import { closeSync, existsSync, fsyncSync, openSync, rmSync, statfsSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";

import { CodedError, toCodedError } from "../std/errors.ts";

/** A change of the schema, from the version of its index to the next. Once released it never changes. */
export type SchemaStep = (db: DatabaseSync) => void;

export interface DatabaseOptions {
  /** FULL: a committed step survives a power cut. NORMAL: it survives kill -9, and writes do not wait for the disk. */
  readonly synchronous?: "FULL" | "NORMAL";
  /** The file never grows beyond this. */
  readonly bytesMax?: number;
  /** Kept free for work under way; 0 keeps nothing. */
  readonly reserveBytes?: number;
}

/** The last steps of a hundred migrations: some tens of KiB each. */
export const RESERVE_BYTES = 4 * 2 ** 20;
const PAGE_BYTES = 4096;

export class Database {
  readonly sql: DatabaseSync;
  readonly #reserveFile: string;
  readonly #reserveBytes: number;

  constructor(file: string, steps: readonly SchemaStep[], options: DatabaseOptions = {}) {
    const { synchronous = "FULL", bytesMax, reserveBytes = 0 } = options;
    this.#reserveFile = `${file}.reserve`;
    this.#reserveBytes = reserveBytes;
    this.sql = new DatabaseSync(file);
    this.sql.exec(
      `PRAGMA journal_mode = WAL; PRAGMA synchronous = ${synchronous}; PRAGMA busy_timeout = 2000;` +
        (bytesMax === undefined ? "" : `PRAGMA max_page_count = ${Math.ceil(bytesMax / PAGE_BYTES)};`),
    );
    this.#upgrade(file, steps);
    this.#reserved();
  }

  close(): void {
    this.sql.close();
  }

  /** All of `change`, or nothing. @throws CodedError DISK_FULL */
  write<T>(change: () => T): T {
    try {
      return this.#transaction(change);
    } catch (error) {
      const coded = toCodedError(error);
      if (coded.code !== "DISK_FULL" || !existsSync(this.#reserveFile)) throw translated(error, coded);
      rmSync(this.#reserveFile, { force: true });
    }
    try {
      return this.#transaction(change);
    } catch (error) {
      throw translated(error, toCodedError(error));
    }
  }

  /**
   * Work that is not yet begun needs the reserve to be whole and as much room again: it must not live on what is kept
   * for the work under way. @throws CodedError DISK_FULL
   */
  refuseWithoutRoom(): void {
    if (this.#reserveBytes === 0) return;
    const { bavail, bsize } = statfsSync(dirname(this.#reserveFile));
    if (bavail * bsize < this.#reserveBytes || !this.#reserved()) {
      throw new CodedError("DISK_FULL", { what: "the agent's state" });
    }
  }

  #transaction<T>(change: () => T): T {
    this.sql.exec("BEGIN IMMEDIATE");
    try {
      const result = change();
      this.sql.exec("COMMIT");
      return result;
    } catch (error) {
      // A full disk has ended the transaction already.
      if (this.sql.isTransaction) this.sql.exec("ROLLBACK");
      throw error;
    }
  }

  #upgrade(file: string, steps: readonly SchemaStep[]): void {
    const version = Number(this.sql.prepare("PRAGMA user_version").get()?.["user_version"] ?? 0);
    if (version > steps.length) {
      this.sql.close();
      throw new CodedError("STATE_NEWER", { file, version, known: steps.length });
    }
    for (const [index, step] of steps.entries()) {
      if (index < version) continue;
      this.#transaction(() => {
        step(this.sql);
        this.sql.exec(`PRAGMA user_version = ${index + 1}`);
      });
    }
  }

  /** Makes the reserve if it is not there; false when the disk has no room for it. */
  #reserved(): boolean {
    if (this.#reserveBytes === 0 || existsSync(this.#reserveFile)) return true;
    try {
      const handle = openSync(this.#reserveFile, "wx", 0o600);
      try {
        // Written out, not only a length: a hole in a file reserves nothing.
        const block = Buffer.alloc(2 ** 20);
        for (let left = this.#reserveBytes; left > 0;) {
          left -= writeSync(handle, block, 0, Math.min(left, block.length));
        }
        fsyncSync(handle);
      } finally {
        closeSync(handle);
      }
      return true;
    } catch {
      rmSync(this.#reserveFile, { force: true });
      return false;
    }
  }
}

const translated = (error: unknown, coded: CodedError): unknown =>
  coded.code === "DISK_FULL" ? coded : error;
