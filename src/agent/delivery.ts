/**
 * Brings events to their listeners behind the work that caused them. A thousand sockets take some 8 ms to write to, and as
 * much again to read from: that must not lie between a guest's pause and the step that ends it. So a crowd hears in
 * rounds, all that has happened since the last one in one piece, and no round begins while a guest is paused. In a round
 * they are told some at a time, so that what arrives meanwhile is handled in between. Every listener gets every event, in order.
 */
import type { PhaseName } from "../api/migration.ts";
import type { EventHub, Numbered } from "./events.ts";

/** Some half a millisecond's writing. Up to as many are told at once; more are a crowd. */
export const SLICE = 64;
/** A page draws no more often. */
export const ROUND_MS = 250;
/** A pause that takes longer has nothing to lose by some milliseconds. */
export const HOLD_MS_MAX = 1_000;

const PAUSED: readonly PhaseName[] = ["switching", "handing-over"];

export interface Taker {
  take(events: readonly Numbered[]): void;
}

export interface DeliveryPorts {
  readonly nowMs: () => number;
  /** Not before the work at hand is done, also without a delay. */
  readonly schedule: (work: () => void, inMs: number) => void;
}

const world: DeliveryPorts = {
  nowMs: () => performance.now(),
  schedule: (work, inMs) => void (inMs === 0 ? setImmediate(work) : setTimeout(work, inMs).unref()),
};

export class Delivery {
  /** Each with the number of the last event it has. */
  readonly #seen = new Map<Taker, number>();
  /** Since when each paused guest is, by its migration. */
  readonly #paused = new Map<string, number>();
  readonly #hub: EventHub;
  readonly #ports: DeliveryPorts;
  #waiting: Numbered[] = [];
  #telling = false;
  #toldAtMs = -Infinity;
  /** Rounds that were asked for before the newest one do nothing. */
  #asked = 0;

  constructor(hub: EventHub, ports: DeliveryPorts = world) {
    this.#hub = hub;
    this.#ports = ports;
    hub.subscribe((numbered) => {
      this.#notePause(numbered);
      if (this.#seen.size === 0) return;
      this.#waiting.push(numbered);
      if (!this.#telling) this.#ask();
    });
  }

  /** At once all that it missed since `lastId`, then what comes. Returns the way to stop. */
  join(taker: Taker, lastId?: number): () => void {
    this.#hub.subscribe((numbered) => taker.take([numbered]), lastId)();
    this.#seen.set(taker, this.#hub.newest);
    return () => void this.#seen.delete(taker);
  }

  #notePause({ event }: Numbered): void {
    if (event.type !== "migration") return;
    const { id, phase, outcome } = event.migration;
    if (outcome !== undefined || !PAUSED.includes(phase)) this.#paused.delete(id);
    else if (!this.#paused.has(id)) this.#paused.set(id, this.#ports.nowMs());
  }

  #ask(): void {
    const turn = (this.#asked += 1);
    this.#ports.schedule(() => {
      if (turn === this.#asked) this.#round();
    }, this.#delayMs());
  }

  #delayMs(): number {
    if (this.#seen.size <= SLICE) return 0;
    const nowMs = this.#ports.nowMs();
    const held = [...this.#paused.values()].map((sinceMs) => sinceMs + HOLD_MS_MAX - nowMs);
    return Math.max(0, this.#toldAtMs + ROUND_MS - nowMs, ...held);
  }

  #round(): void {
    const events = this.#waiting;
    const newest = events.at(-1)?.id ?? 0;
    const takers = [...this.#seen.keys()];
    this.#waiting = [];
    this.#telling = true;
    this.#toldAtMs = this.#ports.nowMs();
    const slice = (from: number): void => {
      for (const taker of takers.slice(from, from + SLICE)) {
        const seen = this.#seen.get(taker);
        // It has left, or joined after some of these.
        if (seen === undefined) continue;
        taker.take(events.filter(({ id }) => id > seen));
        this.#seen.set(taker, Math.max(seen, newest));
      }
      if (from + SLICE < takers.length) return this.#ports.schedule(() => slice(from + SLICE), 0);
      this.#telling = false;
      if (this.#waiting.length > 0) this.#ask();
    };
    slice(0);
  }
}
