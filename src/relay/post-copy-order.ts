/**
 * Which page of a post-copy goes next: what the target's guest waits for, then the others as QEMU gave them. Knows what
 * QEMU has not given yet, so that nobody waits for a page that is under way. When something goes is left to encoding.ts.
 */
import { PAGE_BYTES } from "../page/types.ts";
import { MissingPages } from "../stream/missing.ts";
import type { RamBlock } from "../stream/types.ts";
import type { Backlog } from "./backlog.ts";
import { WANTED_PAGES_MAX } from "./limits.ts";

const BLOCK_KEYS = 2 ** 40;
const keyOf = (block: number, offset: number): number => block * BLOCK_KEYS + offset / PAGE_BYTES;

export class PostCopyOrder {
  readonly #backlog: Backlog;
  /** Asked for and not given by QEMU yet. */
  readonly #wanted = new Set<number>();
  /** Asked for and in the backlog. */
  readonly #urgent = new Set<number>();
  #unseen: MissingPages | undefined;

  constructor(backlog: Backlog) {
    this.#backlog = backlog;
  }

  begin(blocks: readonly RamBlock[]): void {
    this.#unseen = new MissingPages(blocks, PAGE_BYTES);
  }

  /** Pages that wait here. */
  get pages(): number {
    return this.#backlog.pages;
  }
  get isFull(): boolean {
    return this.#backlog.isFull;
  }
  get hasUrgent(): boolean {
    return this.#urgent.size > 0;
  }
  /** Somebody waits for what QEMU has not given. */
  get isWaiting(): boolean {
    return this.#wanted.size > 0;
  }
  get wantedPages(): number {
    return this.#wanted.size + this.#urgent.size;
  }

  got(position: number, block: number, offset: number): void {
    const key = keyOf(block, offset);
    this.#backlog.put(key, position);
    this.#unseen?.take(block, offset / PAGE_BYTES);
    if (this.#wanted.delete(key)) this.#urgent.add(key);
  }

  want(block: number, start: number, length: number): void {
    // Also of what is under way already: a few bytes may ask for 4 GiB.
    const end = start + Math.min(length, WANTED_PAGES_MAX * PAGE_BYTES);
    for (let at = start; at < end; at += PAGE_BYTES) {
      const key = keyOf(block, at);
      if (this.#backlog.has(key)) this.#urgent.add(key);
      else if (this.#unseen?.has(block, at / PAGE_BYTES) === true && this.#wanted.size < WANTED_PAGES_MAX) {
        this.#wanted.add(key);
      } // Else it is under way.
    }
  }

  /** The next pages, told one by one until `page` says that it is enough; they stay until `sent` has returned. */
  send(
    urgent: boolean,
    pagesMax: number,
    page: (position: number, block: number, offset: number) => boolean,
    sent: () => void,
  ): void {
    const keys: number[] = [];
    for (const key of urgent ? this.#urgent : this.#backlog.keys) {
      const position = this.#backlog.positionOf(key);
      if (position === undefined) throw new RangeError("a page to send is not there");
      const mayFollow = page(position, Math.floor(key / BLOCK_KEYS), (key % BLOCK_KEYS) * PAGE_BYTES);
      if (keys.push(key) === pagesMax || !mayFollow) break;
    }
    sent();
    for (const key of keys) {
      this.#urgent.delete(key);
      this.#backlog.drop(key);
    }
  }
}
