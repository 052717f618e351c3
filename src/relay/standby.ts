/**
 * A relay that is started before it is needed: a process takes half a second to come up, most moves of a small guest no
 * longer than that. It waits with everything loaded and rehearsed (rehearsal.ts, opened.ts) for the name of its configuration. One per
 * agent; when the agent dies it ends, and nothing has begun.
 */
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Socket } from "node:net";

import { startTicksOf } from "./alive.ts";
import { type Spawned, spawnRelay } from "./spawn.ts";
import { HANDLE_FILE } from "./start.ts";

export interface StandbyOptions {
  /** Its own; what lies there goes. */
  readonly dir: string;
  /** This host's certificates, and its name on them. */
  readonly tlsDir: string;
  readonly name: string;
  /** The file of a page store that the next migration will most likely begin with; undefined: there is none. */
  readonly holds?: () => string | undefined;
}

/** One that waits, and is the taker's from now on. */
export interface Waiting extends Omit<Spawned, "stdin"> {
  /** It begins, and logs here from now on. */
  begin(configFile: string, logFile: string): void;
}

/** Where it is open it is written on. */
function moveLog(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch {
    // Somebody took it away: what it says is then in vain.
  }
}

export class Standby {
  readonly #options: StandbyOptions;
  #waiting: Spawned | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: StandbyOptions) {
    this.#options = options;
  }

  /**
   * In so many ms there is one that waits, or begins to; until then whoever needs one starts it as usual, and this is put
   * off until it is asked for again: a rehearsal takes a processor from the migration that has begun.
   */
  fill(afterMs: number): void {
    if (this.#closed || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (!this.waits) this.#start();
    }, afterMs);
    this.#timer.unref();
  }

  /** Whether there is one. */
  get waits(): boolean {
    const waiting = this.#waiting;
    return waiting !== undefined && startTicksOf(waiting.pid) === waiting.startTicks;
  }

  take(): Waiting | undefined {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const spawned = this.#waiting;
    if (spawned === undefined || !this.waits) return undefined;
    this.#waiting = undefined;
    rmSync(join(this.#options.dir, HANDLE_FILE), { force: true });
    const { pid, startTicks, gone } = spawned;
    const begin = (configFile: string, logFile: string): void => {
      moveLog(this.#logFile, logFile);
      spawned.stdin?.end(`${configFile}\n`);
    };
    return { pid, startTicks, gone, begin };
  }

  /** Ends the one that waits. Safe to repeat. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#letGo();
  }

  #letGo(): void {
    this.#waiting?.stdin?.destroy();
    this.#waiting = undefined;
  }

  #start(): void {
    const { dir, tlsDir, name, holds } = this.#options;
    try {
      rmSync(dir, { recursive: true, force: true });
      mkdirSync(dir, { recursive: true, mode: 0o700 });
      const store = holds?.();
      const args = ["--standby", dir, tlsDir, name, ...(store === undefined ? [] : [store])];
      const spawned = spawnRelay(args, this.#logFile, true);
      // Its death is found when it is taken; the pipe tells of it too, and must not be the agent's.
      spawned.stdin?.on("error", () => {});
      (spawned.stdin as Socket | null)?.unref();
      this.#waiting = spawned;
      const { pid, startTicks } = spawned;
      writeFileSync(join(dir, HANDLE_FILE), JSON.stringify({ pid, startTicks }), { mode: 0o600 });
    } catch {
      // Without one a relay starts when it is needed, and says there what is wrong.
      this.#letGo();
    }
  }

  get #logFile(): string {
    return join(this.#options.dir, "relay.log");
  }
}
