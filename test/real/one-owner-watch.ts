/** Sees to it, all the time a test lasts, that a guest runs on one host only. */
import { setTimeout as sleep } from "node:timers/promises";

import { type Arena, type Host, otherHost } from "./arena.ts";

const POLL_MS = 15;

/**
 * Watches both consoles of one guest. A guest says something only where it runs; so once the target has spoken, the
 * source must never speak again.
 */
export class OneOwnerWatch {
  readonly #arena: Arena;
  readonly #name: string;
  readonly #from: Host;
  readonly #done: Promise<void>;
  #stop = false;
  #finalSource: number | undefined;
  source = "";
  target = "";
  /** Set when both ran. */
  fault = "";

  constructor(arena: Arena, name: string, from: Host = "a") {
    this.#arena = arena;
    this.#name = name;
    this.#from = from;
    this.#done = this.#watch();
  }

  /** Looks once more, and then never again: a guest that moves back has the source for its target. */
  async stop(): Promise<void> {
    if (this.#stop) return this.#done;
    this.#stop = true;
    await this.#done;
    this.look();
  }

  look(): void {
    // The target first: when it has spoken, what the source says afterwards is one letter too many.
    const target = this.#arena.said(otherHost(this.#from), this.#name);
    const source = this.#arena.said(this.#from, this.#name);
    if (target.length > this.target.length) this.target = target;
    if (source.length > this.source.length) {
      if (this.#finalSource !== undefined)
        this.fault ||= `the source said ${source.length - this.#finalSource} letters after the target had begun`;
      this.source = source;
    }
    if (this.target !== "") this.#finalSource ??= this.source.length;
  }

  async #watch(): Promise<void> {
    while (!this.#stop) {
      this.look();
      await sleep(POLL_MS);
    }
  }
}
