/**
 * Which pages a post-copy's target does not have yet: exactly those never delivered, plus those discarded since. A page
 * delivered twice is fatal to the target, one never delivered hangs whoever touches it, so the set is kept by page.
 * Which page to deliver next is left to others.
 */
import { invalid } from "./faults.ts";
import { RAM_BYTES_MAX } from "./limits.ts";
import type { ByteRange, RamBlock } from "./types.ts";

const WORD_BITS = 32;
const ALL = 0xffff_ffff;

interface Pages {
  /** Bit 1: missing. Bits beyond the last page are 0. */
  readonly words: Uint32Array;
  readonly count: number;
  missing: number;
}

export class MissingPages {
  readonly #blocks: readonly Pages[];
  readonly #pageBytes: number;
  #count = 0;

  /** Of a new target: it has nothing. One bit a page, allocated at once. */
  constructor(blocks: readonly RamBlock[], pageBytes: number) {
    const totalBytes = blocks.reduce((sum, { usedBytes }) => sum + usedBytes, 0);
    if (totalBytes > RAM_BYTES_MAX) throw invalid(0, `blocks of at most ${RAM_BYTES_MAX} bytes`);
    this.#pageBytes = pageBytes;
    this.#blocks = blocks.map(({ usedBytes }) => {
      const count = Math.ceil(usedBytes / pageBytes);
      return { words: new Uint32Array(Math.ceil(count / WORD_BITS)), count, missing: 0 };
    });
    for (const [block, { count }] of this.#blocks.entries()) this.#set(block, 0, count);
  }

  /** Pages missing in all blocks. */
  get count(): number {
    return this.#count;
  }
  countOf(block: number): number {
    return this.#of(block).missing;
  }

  has(block: number, page: number): boolean {
    const { words } = this.#of(block);
    return (((words[page >>> 5] ?? 0) >>> (page & 31)) & 1) === 1;
  }

  /** Takes a page out for delivery: true exactly once for each missing page. */
  take(block: number, page: number): boolean {
    const pages = this.#of(block);
    const word = pages.words[page >>> 5] ?? 0;
    const bit = 1 << (page & 31);
    if ((word & bit) === 0) return false;
    pages.words[page >>> 5] = word & ~bit;
    pages.missing -= 1;
    this.#count -= 1;
    return true;
  }

  /** The target was told to forget these. */
  discard(block: number, ranges: readonly ByteRange[]): void {
    const { count } = this.#of(block);
    for (const { start, length } of ranges) {
      const from = start / this.#pageBytes;
      const to = (start + length) / this.#pageBytes;
      if (!Number.isInteger(from) || !Number.isInteger(to) || to > count) {
        throw invalid(0, `a discard range of whole pages, at most ${count}`);
      }
      this.#set(block, from, to);
    }
  }

  /** What the target says it received, after a broken connection; replaces what was believed. */
  replace(block: number, received: Uint8Array): void {
    const pages = this.#of(block);
    if (received.length * 8 < pages.count) throw invalid(0, `a bitmap of ${pages.count} pages`);
    this.#count -= pages.missing;
    pages.missing = 0;
    for (const [index] of pages.words.entries()) {
      const at = index * 4;
      const [a = 0, b = 0, c = 0, d = 0] = received.subarray(at, at + 4);
      const missing = ~(a | (b << 8) | (c << 16) | (d << 24)) & lastBits(pages.count - index * WORD_BITS);
      pages.words[index] = missing;
      pages.missing += ones(missing);
    }
    this.#count += pages.missing;
  }

  /** The first missing page at or behind `from`; undefined when there is none. */
  next(block: number, from: number): number | undefined {
    const { words, count } = this.#of(block);
    for (let page = from; page < count; page = ((page >>> 5) + 1) * WORD_BITS) {
      const word = (words[page >>> 5] ?? 0) & (ALL << (page & 31));
      if (word !== 0) return (page >>> 5) * WORD_BITS + 31 - Math.clz32(word & -word);
    }
    return undefined;
  }

  #set(block: number, from: number, to: number): void {
    const pages = this.#of(block);
    for (let page = from; page < to; page = ((page >>> 5) + 1) * WORD_BITS) {
      const index = page >>> 5;
      const wanted = (ALL << (page & 31)) & lastBits(to - index * WORD_BITS);
      const added = ones(wanted & ~(pages.words[index] ?? 0));
      pages.words[index] = (pages.words[index] ?? 0) | wanted;
      pages.missing += added;
      this.#count += added;
    }
  }

  #of(block: number): Pages {
    const pages = this.#blocks[block];
    if (pages === undefined) throw new RangeError(`no block ${block}`);
    return pages;
  }
}

/** The low `count` bits. */
const lastBits = (count: number): number => (count >= WORD_BITS ? ALL : ALL >>> (WORD_BITS - count));

function ones(word: number): number {
  let v = word - ((word >>> 1) & 0x5555_5555);
  v = (v & 0x3333_3333) + ((v >>> 2) & 0x3333_3333);
  return Math.imul((v + (v >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24;
}
