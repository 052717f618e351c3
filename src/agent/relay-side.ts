/**
 * The relays of one side of one migration: one at a time, another after a broken fetch. Starts, finds again, counts and
 * ends them; when there is one is decided by whoever holds this. Their folders lie in one place, so that a relay
 * whose agent died before it could journal it is found all the same (`sweepRelays`).
 */
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import type { PageClasses, WireCounters } from "../api/wire.ts";
import {
  adoptRelay,
  handleIn,
  lastStatus,
  type RelayHandle,
  type RelayProcess,
  type StartConfig,
  startRelay,
} from "../relay/start.ts";
import type { Standby } from "../relay/standby.ts";
import type { RelayStatus } from "../relay/status.ts";
import { CodedError } from "../std/errors.ts";

const FOLDER = "relays";
/** Of the migration's id: what tells two migrations of one host apart, and keeps sockets' paths short. */
const KEY_CHARACTERS = 8;
/** QEMU's end of it, in the relay's folder. */
const QEMU_SOCKET = "q.sock";
const CONNECTED_POLL_MS = 10;
/** Longer than a relay dials. */
const CONNECTED_TIMEOUT_MS = 12_000;
/** After both QEMUs have closed a relay ends within some ms; what it says last is worth this wait. */
const LAST_WORDS_MS = 500;
const LAST_WORDS_POLL_MS = 5;
/** One that ended well then writes its page store, when nobody waits for it any more. */
const KEEPING_MS_MAX = 10_000;

/** After the end of one the next is made ready: behind the hand-over, and what the hosts then do at once. */
const FILL_AFTER_MS = 1_000;

/** A relay answers within a few ms; one that was stopped must not hold anybody up. */
const ANSWER_MS = 500;

const keyOf = (migration: string): string => migration.slice(-KEY_CHARACTERS);

export interface RelaySideOptions {
  readonly stateDir: string;
  readonly migration: string;
  /** From the journal, oldest first. */
  readonly handles: readonly RelayHandle[];
  /** Called before anything depends on the new relay. */
  readonly journal: (handles: readonly RelayHandle[]) => void;
  /** Taken if there is one; another is then made ready at the end. */
  readonly standby?: Standby | undefined;
}

export class RelaySide {
  readonly #options: RelaySideOptions;
  readonly #said = new Map<string, RelayStatus>();
  #handles: readonly RelayHandle[];
  #relay: RelayProcess | undefined;
  #polling = false;
  #ended = false;

  constructor(options: RelaySideOptions) {
    this.#options = options;
    this.#handles = options.handles;
  }

  /** Whether there has been one. */
  get isUsed(): boolean {
    return this.#handles.length > 0;
  }

  /** Where QEMU finds the newest relay. */
  get qemuSocket(): string {
    return join(this.#folder(this.#handles.length - 1), QEMU_SOCKET);
  }

  /** Ends the one before it. @throws CodedError when it does not start, or is no longer wanted. */
  async start(configOf: (qemuSocket: string) => StartConfig): Promise<RelayProcess> {
    await this.#keepWords();
    await this.#relay?.kill();
    this.#relay = undefined;
    if (this.#ended) throw noLongerWanted();
    const dir = this.#folder(this.#handles.length);
    const { standby } = this.#options;
    const relay = await startRelay(configOf(join(dir, QEMU_SOCKET)), dir, { standby });
    if (this.#ended) {
      await relay.kill();
      rmSync(dir, { recursive: true, force: true });
      throw noLongerWanted();
    }
    this.#relay = relay;
    this.#handles = [...this.#handles, relay.handle];
    this.#options.journal(this.#handles);
    return relay;
  }

  /** Until both relays know each other. @throws CodedError with the relay's own reason. */
  async connected(): Promise<void> {
    const deadline = performance.now() + CONNECTED_TIMEOUT_MS;
    for (;;) {
      if (this.#ended) throw noLongerWanted();
      const status = await this.#ask();
      if (status?.error) throw new CodedError("LINK_LOST", { why: status.error.message });
      if (status !== undefined && status.phase !== "waiting") return;
      if (performance.now() > deadline)
        throw new CodedError("LINK_LOST", { why: "the relays did not find each other" });
      await delay(CONNECTED_POLL_MS);
    }
  }

  /** After an agent's restart. Never rejects: a relay that is gone is noticed by QEMU. */
  async adopt(): Promise<void> {
    const newest = this.#handles.at(-1);
    if (newest === undefined) return;
    const silent = delay(ANSWER_MS, undefined, { ref: false });
    this.#relay = await Promise.race([adoptRelay(newest), silent]).catch(() => undefined);
    await this.#ask();
  }

  /** Asks the newest relay, one question at a time; `counters` then has the answer. Never rejects. */
  async poll(): Promise<void> {
    if (this.#polling) return;
    this.#polling = true;
    await this.#ask();
    this.#polling = false;
  }

  /** Why the newest one ended, if it says so. */
  get trouble(): string | undefined {
    const newest = this.#handles.at(-1);
    const said = newest === undefined ? undefined : lastStatus(newest.dir);
    return said?.error?.message;
  }

  /** Of all relays of this side together; undefined while none has said anything. */
  counters(direction: "out" | "in"): WireCounters | undefined {
    const all = [...this.#said.values()];
    const newest = all.at(-1);
    if (newest === undefined) return undefined;
    const sum = (of: (status: RelayStatus) => number): number => all.reduce((so, each) => so + of(each), 0);
    const qemuBytes = sum((each) => (direction === "out" ? each.qemuBytesIn : each.qemuBytesOut));
    const wireBytes = sum((each) => (direction === "out" ? each.wireBytesOut : each.wireBytesIn));
    return {
      pages: all.map((each) => each.reportPages).reduce(sumOfPages),
      qemuBytes,
      wireBytes,
      ratio: wireBytes === 0 ? null : qemuBytes / wireBytes,
      relayCpuSeconds: sum((each) => each.cpuSeconds),
      relayRssBytes: Math.max(...all.map((each) => each.rssBytes)),
      keptPages: sum((each) => each.keptPages),
      bootPages: sum((each) => each.bootPages),
      ...(newest.mode.kind === "encoding" ? {} : { passThrough: newest.mode.reason }),
    };
  }

  /** The last counters: waits for a relay that is about to end by itself. Never rejects. */
  async lastWords(patienceMs = LAST_WORDS_MS): Promise<void> {
    const relay = this.#relay;
    if (relay === undefined) return;
    const gone = relay.exited.then(() => true);
    const deadline = performance.now() + patienceMs;
    // Said before it is gone: it may have a page store to write.
    while (lastStatus(relay.handle.dir) === undefined && performance.now() < deadline) {
      const soon = delay(LAST_WORDS_POLL_MS, false, { ref: false });
      if (await Promise.race([gone, soon])) break;
    }
    await this.#ask();
  }

  /**
   * Nothing of it runs or lies about afterwards, also a relay that is only starting. One that carried everything is given
   * the time to write its page store. Safe to repeat.
   */
  async end(): Promise<void> {
    this.#ended = true;
    await this.#keepWords();
    const relay = this.#relay;
    const last = relay === undefined ? undefined : lastStatus(relay.handle.dir);
    if (relay !== undefined && last?.phase === "done") {
      await Promise.race([relay.exited, delay(KEEPING_MS_MAX, undefined, { ref: false })]);
    }
    await this.#relay?.kill();
    this.#relay = undefined;
    await endFolders(this.#options.stateDir, (key) => key === keyOf(this.#options.migration));
    this.#options.standby?.fill(FILL_AFTER_MS);
  }

  #folder(number: number): string {
    return join(this.#options.stateDir, FOLDER, `${keyOf(this.#options.migration)}.${Math.max(0, number)}`);
  }

  async #ask(): Promise<RelayStatus | undefined> {
    const relay = this.#relay;
    if (relay === undefined) return undefined;
    const silent = delay(ANSWER_MS, undefined, { ref: false });
    const status = await Promise.race([relay.status(), silent]).catch(() => undefined);
    if (status !== undefined) this.#said.set(relay.handle.dir, status);
    return status;
  }

  async #keepWords(): Promise<void> {
    await this.#ask();
    for (const { dir } of this.#handles) {
      const last = lastStatus(dir);
      if (last !== undefined) this.#said.set(dir, last);
    }
  }
}

const noLongerWanted = (): CodedError => new CodedError("LINK_LOST", { why: "no longer wanted" });

const sumOfPages = (one: PageClasses, other: PageClasses): PageClasses => ({
  zero: one.zero + other.zero,
  raw: one.raw + other.raw,
  compressed: one.compressed + other.compressed,
  delta: one.delta + other.delta,
  duplicate: one.duplicate + other.duplicate,
  unchanged: one.unchanged + other.unchanged,
  referenced: one.referenced + other.referenced,
});

/** Ends what migrations other than these left behind. @returns how many relays still ran. */
export async function sweepRelays(stateDir: string, wanted: ReadonlySet<string>): Promise<number> {
  const keys = new Set([...wanted].map(keyOf));
  return endFolders(stateDir, (key) => !keys.has(key));
}

async function endFolders(stateDir: string, unwanted: (key: string) => boolean): Promise<number> {
  let ran = 0;
  for (const name of foldersIn(join(stateDir, FOLDER))) {
    if (!unwanted(name.slice(0, name.lastIndexOf(".")))) continue;
    const dir = join(stateDir, FOLDER, name);
    const handle = handleIn(dir);
    const relay = handle === undefined ? undefined : await adoptRelay(handle).catch(() => undefined);
    if (relay !== undefined) {
      ran += 1;
      await relay.kill();
    }
    rmSync(dir, { recursive: true, force: true });
  }
  return ran;
}

function foldersIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // never had one
  }
}
