/**
 * What one listener has not been able to take yet. While it keeps up, events pass through; while it does not, only the
 * newest of each kind waits, up to a limit; beyond it the listener is told to read the state again. So the memory of a
 * listener is bounded however slow it is.
 */
import type { Numbered } from "./events.ts";

/** Kinds waiting per listener: references to frames that all listeners share. */
export const WAITING_MAX = 256;

export interface OutboxPorts {
  /** Takes a frame; false when no more should be sent until `drained`. */
  readonly write: (frame: Buffer) => boolean;
  readonly missed: () => Numbered;
}

export class Outbox {
  readonly #ports: OutboxPorts;
  readonly #waiting = new Map<string, Numbered>();
  #blocked = false;
  #overflowed = false;

  constructor(ports: OutboxPorts) {
    this.#ports = ports;
  }

  get blocked(): boolean {
    return this.#blocked;
  }

  push(numbered: Numbered): void {
    if (!this.#blocked) return this.#send(numbered);
    if (this.#overflowed) return;
    // Taken out first: what waits is in the order of its numbers.
    this.#waiting.delete(numbered.key);
    this.#waiting.set(numbered.key, numbered);
    if (this.#waiting.size <= WAITING_MAX) return;
    this.#waiting.clear();
    this.#overflowed = true;
  }

  drained(): void {
    this.#blocked = false;
    if (this.#overflowed) {
      this.#overflowed = false;
      this.#send(this.#ports.missed());
    }
    for (const [key, numbered] of this.#waiting) {
      if (this.#blocked) return;
      this.#waiting.delete(key);
      this.#send(numbered);
    }
  }

  #send(numbered: Numbered): void {
    this.#blocked = !this.#ports.write(numbered.frame);
  }
}
