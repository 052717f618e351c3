/**
 * Walks the bodies of RAM sections: locates pages, follows the block that CONTINUE refers to, learns the block list.
 * This is the one loop that sees every page, so it makes no object per page and copies nothing.
 */
import { Cursor, u32At, WORD_BYTES } from "./bytes.ts";
import { beyond, invalid } from "./faults.ts";
import { BLOCKS_MAX, PAGE_BYTES_DEFAULT, RAM_BYTES_MAX } from "./limits.ts";
import { RAM, type RamBlock, type StreamHandler, type Transparent } from "./types.ts";

const HIGH = 2 ** 32;
const NO_BLOCK = -1;
const FORMS: ReadonlyMap<number, "xbzrle" | "compress" | "rdma"> = new Map([
  [RAM.xbzrle, "xbzrle"],
  [RAM.compressPage, "compress"],
  [RAM.hook, "rdma"],
]);

export class RamBody {
  pageBytes = PAGE_BYTES_DEFAULT;
  /** Whether a block in the list may be followed by its page size. */
  postcopyRam = false;
  /** Set by a handler that wants the walk to end behind the current record. */
  paused = false;
  /** Set when the body's end was read. */
  ended = false;
  /** Set when a record of a form was met that is not read here; it is not consumed. */
  refused: Transparent | undefined;
  readonly blocks: RamBlock[] = [];
  readonly #learnsBlocks: boolean;
  readonly #indexes = new Map<string, number>();
  #listing = false;
  #listed = false;
  #listLeft = 0;
  #block = NO_BLOCK;
  #usedBytes = 0;

  /** `learnsBlocks`: the stream has no block list, and none is known; a block is whatever is named. */
  constructor(blocks: readonly RamBlock[], learnsBlocks: boolean) {
    this.#learnsBlocks = learnsBlocks;
    for (const block of blocks) this.#add(block);
    this.#listed = blocks.length > 0 || learnsBlocks;
  }

  /** Index of a block by name, or undefined. */
  indexOf(name: string): number | undefined {
    const index = this.#indexes.get(name);
    if (index !== undefined || !this.#learnsBlocks || this.blocks.length >= BLOCKS_MAX) return index;
    return this.#add({ name, usedBytes: RAM_BYTES_MAX });
  }

  begin(): void {
    this.ended = false;
  }

  /** Consumes whole records from `start` and returns where it stopped. `base` turns positions into stream offsets. */
  walk(bytes: Uint8Array, start: number, to: number, base: number, handler: StreamHandler): number {
    let at = start;
    while (to - at >= WORD_BYTES && !this.paused) {
      if (this.#listing) {
        const next = this.#listBlock(bytes, at, to, base, handler);
        if (next === at) return at;
        at = next;
        continue;
      }
      const low = u32At(bytes, at + 4);
      const flags = low & (this.pageBytes - 1);
      const kind = flags & ~RAM.continue;
      if (kind !== RAM.page && kind !== RAM.zero) {
        const next = this.#other(bytes, at, base, handler);
        if (this.ended || this.refused !== undefined) return next;
        at = next;
        continue;
      }
      let body = at + WORD_BYTES;
      if ((flags & RAM.continue) === 0) {
        const length = bytes[body] ?? 0;
        body += 1 + length;
        if (body > to) return at;
        this.#select(new Cursor(bytes, at + WORD_BYTES, to, base));
      } else if (this.#block === NO_BLOCK) {
        throw invalid(base + at, "a page record with its block's name, the first one");
      }
      const offset = u32At(bytes, at) * HIGH + (low - flags);
      if (offset > this.#usedBytes - this.pageBytes) {
        throw invalid(base + at, `a page within the block's ${this.#usedBytes} bytes`);
      }
      const end = body + (kind === RAM.page ? this.pageBytes : 1);
      if (end > to) return at;
      if (kind === RAM.page) handler.page(this.#block, offset, body, at);
      else handler.zero(this.#block, offset, bytes[body] ?? 0, at, end);
      at = end;
    }
    return at;
  }

  #select(cursor: Cursor): void {
    const name = cursor.name("a RAM block");
    const index = this.indexOf(name);
    const block = this.blocks[index ?? NO_BLOCK];
    cursor.expect(block !== undefined, "the name of a listed RAM block");
    this.#block = index ?? NO_BLOCK;
    this.#usedBytes = block?.usedBytes ?? 0;
  }

  /** A record that is no page; all of them are one word long. */
  #other(bytes: Uint8Array, at: number, base: number, handler: StreamHandler): number {
    const flags = u32At(bytes, at + 4) & (this.pageBytes - 1);
    const value = u32At(bytes, at) * HIGH + (u32At(bytes, at + 4) - flags);
    const end = at + WORD_BYTES;
    if (flags === RAM.memSize) {
      if (this.#listed) throw invalid(base + at, "no second list of RAM blocks");
      if (value > RAM_BYTES_MAX) throw beyond(base + at, "bytes of RAM", value, RAM_BYTES_MAX);
      this.#listed = true;
      this.#listLeft = value;
      this.#listing = value > 0;
      handler.ramSize(value, at, end);
      return end;
    }
    const form = FORMS.get(flags & ~RAM.continue);
    if (form !== undefined) {
      const block = this.blocks[this.#block]?.name;
      this.refused = { kind: "page-form", form, ...(block !== undefined && { block }) };
      return at;
    }
    if (value !== 0 || (flags !== RAM.eos && flags !== RAM.multifdFlush)) {
      throw invalid(base + at, `a RAM record, not flags 0x${flags.toString(16)} at offset ${value}`);
    }
    this.ended = flags === RAM.eos;
    handler.mark(this.ended ? "eos" : "multifd-flush", at, end);
    return end;
  }

  /** One entry of the block list; stays where it is when the entry is not there whole yet. */
  #listBlock(bytes: Uint8Array, at: number, to: number, base: number, handler: StreamHandler): number {
    const cursor = new Cursor(bytes, at, to, base);
    const name = cursor.name("a RAM block");
    const usedBytes = cursor.u64();
    if (cursor.short) return at;
    cursor.limit(this.blocks.length + 1, BLOCKS_MAX, "RAM blocks");
    cursor.expect(!this.#indexes.has(name), "another block's name");
    cursor.expect(usedBytes <= this.#listLeft, `a block of at most ${this.#listLeft} bytes`);
    const left = this.#listLeft - usedBytes;
    const hostPageBytes = this.postcopyRam ? this.#pageSize(cursor, left === 0) : 0;
    if (hostPageBytes === undefined || cursor.short) return at;
    const block: RamBlock = { name, usedBytes, ...(hostPageBytes > 0 && { hostPageBytes }) };
    this.#add(block);
    this.#listLeft = left;
    this.#listing = left > 0;
    handler.ramBlock(block, at, cursor.at);
    return cursor.at;
  }

  /**
   * The page size is there only for blocks of unusual pages, and nothing announces it: but a name never begins with a
   * zero byte, as a page size does, and a mark behind the last block is smaller than a page. 0 for none, undefined for
   * not yet.
   */
  #pageSize(cursor: Cursor, isLast: boolean): number | undefined {
    const next = cursor.peek();
    if (next === undefined) return undefined;
    if (next !== 0) return 0;
    const from = cursor.at;
    const size = cursor.u64();
    if (cursor.short) return undefined;
    if (isLast && size < this.pageBytes) {
      cursor.at = from;
      return 0;
    }
    cursor.limit(size, RAM_BYTES_MAX, "bytes in a host page");
    cursor.expect(size >= this.pageBytes && size % this.pageBytes === 0, "a host page of whole pages");
    return size;
  }

  #add(block: RamBlock): number {
    const index = this.blocks.push(block) - 1;
    this.#indexes.set(block.name, index);
    return index;
  }
}
