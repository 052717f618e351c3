/**
 * One listener's private queue of QMP events. Bounded: a listener that never reads is told that it missed some
 * (its iteration throws), it does not make the agent grow.
 */
import { CodedError } from "../std/errors.ts";
import type { EventStream, QmpEvent } from "./types.ts";

/** A busy migration sends a few events a second; this is minutes of not listening. */
export const EVENTS_KEPT_MAX = 4096;

type Waiter = { resolve: (r: IteratorResult<QmpEvent, undefined>) => void; reject: (e: Error) => void };

export class EventQueue implements EventStream {
  readonly #only: ReadonlySet<string> | undefined;
  readonly #onClose: (queue: EventQueue) => void;
  readonly #keptMax: number;
  #kept: QmpEvent[] = [];
  #waiters: Waiter[] = [];
  #overflowed = false;
  #ended = false;

  constructor(
    only: readonly string[] | undefined,
    onClose: (queue: EventQueue) => void,
    keptMax = EVENTS_KEPT_MAX,
  ) {
    this.#only = only === undefined ? undefined : new Set(only);
    this.#onClose = onClose;
    this.#keptMax = keptMax;
  }

  push(event: QmpEvent): void {
    if (this.#ended || this.#overflowed) return;
    if (this.#only !== undefined && !this.#only.has(event.event)) return;
    const waiter = this.#waiters.shift();
    if (waiter !== undefined) waiter.resolve({ done: false, value: event });
    else if (this.#kept.length < this.#keptMax) this.#kept.push(event);
    else this.#overflowed = true;
  }

  /** No more will come; what is kept can still be read. */
  end(): void {
    this.#ended = true;
    for (const waiter of this.#waiters.splice(0)) waiter.resolve({ done: true, value: undefined });
  }

  close(): void {
    this.#kept = [];
    this.end();
    this.#onClose(this);
  }
  [Symbol.dispose](): void {
    this.close();
  }

  [Symbol.asyncIterator](): AsyncIterator<QmpEvent, undefined> {
    return {
      next: () => this.#next(),
      return: () => {
        this.close();
        return Promise.resolve({ done: true, value: undefined });
      },
    };
  }

  #next(): Promise<IteratorResult<QmpEvent, undefined>> {
    const event = this.#kept.shift();
    if (event !== undefined) return Promise.resolve({ done: false, value: event });
    if (this.#overflowed) {
      const problem = `more than ${this.#keptMax} QMP events were left unread; the rest were dropped`;
      return Promise.reject(new CodedError("INTERNAL", { problem }));
    }
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }));
  }
}
