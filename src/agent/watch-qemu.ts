/**
 * Watches one QEMU during a migration: its events, and its counters ten times a second, told as samples and rounds.
 * Bandwidth is what QEMU wrote between two readings; a round ends when the dirty log is read (MIGRATION_PASS).
 */
import type { CopySample, Round } from "../migration/types.ts";
import type { MigrationInfo } from "../qmp/commands.ts";
import type { Qmp } from "../qmp/types.ts";
import { nowMs } from "./clock.ts";

export interface WatchEvents {
  /** STOP or RESUME of the guest, stamped when read. */
  guest(what: "paused" | "running", atNs: bigint): void;
  status(status: NonNullable<MigrationInfo["status"]>, atNs: bigint): void;
  sample(sample: CopySample, ended: Round | undefined, info: MigrationInfo): void;
}

export const SAMPLE_PERIOD_MS = 100;
/** Weight of the newest reading in the shown bandwidth: about the last half second counts. */
const NEWEST_WEIGHT = 0.3;

export class QemuWatch {
  readonly #qmp: Qmp;
  readonly #events: WatchEvents;
  readonly #stream;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;
  #busy = false;
  #last: { atMs: number; transferred: number } | undefined;
  #roundStart: { atMs: number; transferred: number; round: number } | undefined;
  #bytesPerSecond = 0;
  #dirtyBytesPerSecond = 0;
  downtimeLimitMs = 300;

  constructor(qmp: Qmp, events: WatchEvents) {
    this.#qmp = qmp;
    this.#events = events;
    this.#stream = qmp.events(["STOP", "RESUME", "MIGRATION", "MIGRATION_PASS"]);
    void this.#pump();
  }

  /** Starts the periodic readings; before that only events are told. */
  startSampling(): void {
    this.#timer ??= setInterval(() => void this.#read(false), SAMPLE_PERIOD_MS);
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    this.#stream.close();
  }

  async #pump(): Promise<void> {
    for await (const { event, data, atNs } of this.#stream) {
      if (this.#closed) return;
      if (event === "STOP") this.#events.guest("paused", atNs);
      else if (event === "RESUME") this.#events.guest("running", atNs);
      else if (event === "MIGRATION")
        this.#events.status(data["status"] as NonNullable<MigrationInfo["status"]>, atNs);
      else if (event === "MIGRATION_PASS") await this.#read(true);
    }
  }

  async #read(passEnded: boolean): Promise<void> {
    if (this.#closed || (this.#busy && !passEnded)) return;
    this.#busy = true;
    try {
      const info = await this.#qmp.execute("query-migrate", {});
      if (this.#closed) return;
      if (info.ram !== undefined) this.#tell(info, info.ram, passEnded);
      // The first pass may begin while QEMU still sets up and has no figures.
      else if (passEnded) this.#roundStart ??= { atMs: nowMs(), transferred: 0, round: 1 };
    } catch {
      // The end of the connection is told by the process itself.
    } finally {
      this.#busy = false;
    }
  }

  #tell(info: MigrationInfo, ram: NonNullable<MigrationInfo["ram"]>, passEnded: boolean): void {
    const atMs = nowMs();
    const throttlePercent = info["cpu-throttle-percentage"] ?? 0;
    if (this.#last !== undefined && atMs > this.#last.atMs) {
      const newest = ((ram.transferred - this.#last.transferred) / (atMs - this.#last.atMs)) * 1000;
      this.#bytesPerSecond =
        this.#bytesPerSecond === 0
          ? newest
          : this.#bytesPerSecond * (1 - NEWEST_WEIGHT) + newest * NEWEST_WEIGHT;
    }
    this.#last = { atMs, transferred: ram.transferred };

    let ended: Round | undefined;
    if (passEnded) {
      const start = this.#roundStart;
      // The first pass event opens round 1; a round shorter than the clock's step would have no rates.
      if (start !== undefined && atMs > start.atMs) {
        const durationMs = atMs - start.atMs;
        const sentBytes = ram.transferred - start.transferred;
        this.#dirtyBytesPerSecond = (ram.remaining / durationMs) * 1000;
        ended = {
          round: start.round,
          startMs: start.atMs,
          durationMs,
          sentBytes,
          dirtyBytes: ram.remaining,
          dirtyBytesPerSecond: this.#dirtyBytesPerSecond,
          sendBytesPerSecond: (sentBytes / durationMs) * 1000,
          throttlePercent,
        };
      }
      this.#roundStart = { atMs, transferred: ram.transferred, round: (start?.round ?? 0) + 1 };
    }
    const sample: CopySample = {
      round: this.#roundStart?.round ?? 1,
      ramBytes: ram.total,
      sentBytes: ram.transferred,
      remainingBytes: ram.remaining,
      sendBytesPerSecond: this.#bytesPerSecond,
      dirtyBytesPerSecond: this.#dirtyBytesPerSecond,
      throttlePercent,
      downtimeLimitMs: this.downtimeLimitMs,
    };
    this.#events.sample(sample, ended, info);
  }
}
