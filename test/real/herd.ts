/** Guests that are moved again and again, and what must not grow meanwhile: through pairs of relays, or by real agents. */
import { basename, dirname, join } from "node:path";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";

import { ensureTicker } from "../../src/lab/guest/ticker.ts";
import { relaysEnded } from "../../src/lab/kept-stores.ts";
import { Arena, type Host, HOSTS, otherHost } from "./arena.ts";
import { descriptorsOf, leftBehind, processesOf, residentBytes } from "./left-behind.ts";
import { PairGuest } from "./pair-guest.ts";

export interface Move {
  readonly totalMs: number;
  /** Resident bytes by whose they are. */
  readonly resident: Readonly<Record<string, number>>;
}

export interface Herd {
  readonly guests: readonly { move(): Promise<Move> }[];
  /** What must be the same afterwards. */
  counts(): Promise<Readonly<Record<string, number>>>;
  /** A last look at every guest. */
  check(): Promise<void>;
  /** Ends all of it; processes that are still there afterwards. */
  down(): Promise<readonly number[]>;
}

export async function pairHerd(count: number): Promise<Herd> {
  const dir = mkdtempSync(join(tmpdir(), "soak-"));
  const ticker = await ensureTicker();
  const guests = await Promise.all(
    Array.from({ length: count }, (_, index) => PairGuest.start(join(dir, `g${index}`), ticker)),
  );
  return {
    guests,
    counts: async () => ({ ...leftBehind(dir, basename(dir)) }),
    check: async () => {
      for (const guest of guests) await guest.check();
    },
    down: async () => {
      for (const guest of guests) await guest.kill();
      rmSync(dir, { recursive: true, force: true });
      return processesOf(dir);
    },
  };
}

const SETTLE_MS = 120_000;

/** From host to host and back, `wire` the relays, memory verified by the agents each time. */
class AgentGuest {
  readonly #arena: Arena;
  readonly #name: string;
  #host: Host = "a";

  constructor(arena: Arena, name: string) {
    this.#arena = arena;
    this.#name = name;
  }

  async move(): Promise<Move> {
    const arena = this.#arena;
    const from = this.#host;
    const began = performance.now();
    const { id } = await arena.migrate(this.#name, from, {
      technique: "pre-copy",
      wire: "relay",
      verifyMemory: true,
    });
    const { source } = await arena.settled(id, from, SETTLE_MS);
    const totalMs = performance.now() - began;
    if (source.outcome !== "done")
      throw new Error(`${source.outcome}: ${source.code ?? ""} ${source.reason}`);
    const report = await arena.client(from).report({ params: { id } });
    if (report.correctness.verdict !== "verified" || report.path !== "relay") {
      throw new Error(`${report.path}, memory ${report.correctness.verdict}: ${report.notes.join("; ")}`);
    }
    this.#host = otherHost(from);
    const resident = Object.fromEntries(
      HOSTS.map((host) => [`agent ${host}`, residentBytes(arena.agentPid(host))]),
    );
    return { totalMs, resident };
  }

  async check(): Promise<void> {
    const ticking = await this.#arena.ticking(this.#name);
    if (ticking.join() !== this.#host) throw new Error(`${this.#name} ticks on ${ticking.join()}`);
  }
}

export async function agentHerd(count: number): Promise<Herd> {
  const arena = await Arena.up();
  const home = process.env["GODWIT_LAB_HOME"] ?? dirname(arena.stateDir("a"));
  const word = arena.netns("a").replace(/a$/, "");
  const guests: AgentGuest[] = [];
  for (let number = 0; number < count; number += 1) {
    guests.push(new AgentGuest(arena, await arena.guest("a")));
  }
  return {
    guests,
    counts: async () => {
      // One that keeps its store ends a moment after its migration.
      await relaysEnded(arena.lab);
      const counts: Record<string, number> = { ...leftBehind(home, word) };
      for (const host of HOSTS) {
        counts[`descriptors of agent ${host}`] = descriptorsOf(arena.agentPid(host));
        counts[`relays of ${host}`] = namesIn(join(arena.stateDir(host), "relays"));
      }
      return counts;
    },
    check: async () => {
      for (const guest of guests) await guest.check();
    },
    down: async () => {
      await arena.down();
      return processesOf(home);
    },
  };
}

function namesIn(dir: string): number {
  try {
    return readdirSync(dir).length;
  } catch {
    return 0;
  }
}
