/**
 * Pages of a post-copy that came from QEMU and were not sent yet, oldest first. They wait here and not in QEMU's socket,
 * so that one that is asked for can pass those in front of it. Which page goes when is left to post-copy-order.ts.
 */
import { PAGE_BYTES } from "../page/types.ts";
import { BACKLOG_PAGES } from "./limits.ts";

export const BACKLOG_BYTES = BACKLOG_PAGES * PAGE_BYTES;

export interface BacklogParts {
  readonly copyPage: (from: number, to: number) => void;
  /** `BACKLOG_BYTES` of memory from there on are its own. */
  readonly base: number;
  readonly zeroPage: number;
}

export class Backlog {
  readonly #parts: BacklogParts;
  /** Where each page is, by its key; in the order they came. */
  readonly #positions = new Map<number, number>();
  readonly #free: number[];

  constructor(parts: BacklogParts) {
    this.#parts = parts;
    this.#free = Array.from({ length: BACKLOG_PAGES }, (_, at) => parts.base + at * PAGE_BYTES);
  }

  get pages(): number {
    return this.#positions.size;
  }
  get isFull(): boolean {
    return this.#positions.size >= BACKLOG_PAGES;
  }
  /** Oldest first. */
  get keys(): Iterable<number> {
    return this.#positions.keys();
  }
  has(key: number): boolean {
    return this.#positions.has(key);
  }

  /** Keeps a copy of the page at `from`. */
  put(key: number, from: number): void {
    const { copyPage, zeroPage } = this.#parts;
    if (this.#positions.has(key)) throw new RangeError(`page ${key} came twice`);
    if (from === zeroPage) return void this.#positions.set(key, zeroPage);
    const at = this.#free.pop();
    if (at === undefined) throw new RangeError("the backlog is full");
    copyPage(from, at);
    this.#positions.set(key, at);
  }

  /** Where its bytes are, until it is dropped. */
  positionOf(key: number): number | undefined {
    return this.#positions.get(key);
  }

  drop(key: number): void {
    const at = this.#positions.get(key);
    if (at === undefined) return;
    this.#positions.delete(key);
    if (at !== this.#parts.zeroPage) this.#free.push(at);
  }
}
