/**
 * A stream as a list of records, for tools and tests: each holds all it needs to become the same bytes again. A relay
 * uses the parser itself and makes no object per page.
 */
import { StreamParser, type StreamOptions } from "./parser.ts";
import type { BitmapChunk, Command, ConfigurationPart, RamMark, SectionBegin } from "./types.ts";
import type { RamBlock, StreamHandler, Transparent } from "./types.ts";

export type StreamRecord =
  | { readonly kind: "header" }
  | { readonly kind: "configuration"; readonly machine: string }
  | { readonly kind: "configuration-part"; readonly part: ConfigurationPart }
  | { readonly kind: "command"; readonly command: Command }
  | { readonly kind: "package"; readonly bytes: Uint8Array }
  | { readonly kind: "section-begin"; readonly section: SectionBegin }
  | { readonly kind: "ram-size"; readonly totalBytes: number }
  | { readonly kind: "ram-block"; readonly block: RamBlock }
  /** `continued`: sent without the block's name, which was the previous page's. */
  | {
      readonly kind: "page";
      readonly block: string;
      readonly offset: number;
      readonly continued: boolean;
      readonly bytes: Uint8Array;
    }
  | {
      readonly kind: "zero";
      readonly block: string;
      readonly offset: number;
      readonly continued: boolean;
      readonly fill: number;
    }
  | { readonly kind: "mark"; readonly mark: RamMark }
  | { readonly kind: "bitmap-chunk"; readonly chunk: BitmapChunk }
  | { readonly kind: "section-end"; readonly id: number }
  /** No bytes: says why all that follows is opaque. */
  | { readonly kind: "transparent"; readonly reason: Transparent }
  /** As much as was there; where it is cut says nothing. */
  | { readonly kind: "opaque"; readonly bytes: Uint8Array };

/** A record and where in the stream it lies. */
export interface PlacedRecord {
  readonly record: StreamRecord;
  readonly offset: number;
  readonly length: number;
}

const CONTINUED_HEAD_BYTES = 8;

export class StreamReader {
  readonly #parser: StreamParser;
  readonly #ready: PlacedRecord[] = [];
  #next = 0;
  /** Given and not consumed: less than one unit. */
  #rest: Uint8Array = new Uint8Array();
  #restLength = 0;
  /** Stream offset behind the last record. */
  #end = 0;
  // Of the push that runs now: its bytes, and the stream offset of the first.
  #bytes: Uint8Array = new Uint8Array();
  #shift = 0;
  #package: Uint8Array[] = [];
  #packageOffset = 0;

  constructor(options: StreamOptions = {}) {
    this.#parser = new StreamParser(this.#handler(), options);
  }

  get state(): StreamParser["state"] {
    return this.#parser.state;
  }
  get parser(): Pick<StreamParser, "blocks" | "openSections" | "pageBytes"> {
    return this.#parser;
  }
  /** Bytes given that are no whole record yet. */
  get pendingBytes(): number {
    return this.#restLength + this.#package.reduce((sum, part) => sum + part.length, 0);
  }

  push(chunk: Uint8Array): void {
    this.#bytes = chunk;
    let length = chunk.length;
    if (this.#restLength > 0) {
      length += this.#restLength;
      this.#keep(length);
      this.#rest.set(chunk, this.#restLength);
      this.#bytes = this.#rest;
    }
    this.#shift = this.#parser.offset;
    const consumed = this.#parser.parse(this.#bytes, 0, length);
    this.#restLength = length - consumed;
    if (this.#bytes === this.#rest) {
      if (consumed > 0) this.#rest.copyWithin(0, consumed, length);
    } else if (this.#restLength > 0) {
      this.#keep(this.#restLength);
      this.#rest.set(chunk.subarray(consumed));
    }
  }

  /** Room for the rest, doubled when it is short, so that a stream in single bytes costs no more than its length. */
  #keep(length: number): void {
    if (length <= this.#rest.length) return;
    const larger = new Uint8Array(Math.max(length, 2 * this.#rest.length));
    larger.set(this.#rest.subarray(0, this.#restLength));
    this.#rest = larger;
  }

  /** The next record; undefined means: not yet. */
  next(): PlacedRecord | undefined {
    const placed = this.#ready[this.#next];
    this.#next += 1;
    if (placed !== undefined) return placed;
    this.#ready.length = 0;
    this.#next = 0;
    return undefined;
  }

  *[Symbol.iterator](): Generator<PlacedRecord> {
    for (let placed = this.next(); placed !== undefined; placed = this.next()) yield placed;
  }

  #add(record: StreamRecord, from: number, to: number): void {
    this.#ready.push({ record, offset: this.#shift + from, length: to - from });
    this.#end = this.#shift + to;
  }

  #packageBytes(from: number, to: number, left: number): void {
    if (this.#package.length === 0) this.#packageOffset = this.#shift + from;
    this.#package.push(this.#bytes.slice(from, to));
    if (left > 0) return;
    const length = this.#package.reduce((sum, part) => sum + part.length, 0);
    const bytes = new Uint8Array(length);
    let at = 0;
    for (const part of this.#package) {
      bytes.set(part, at);
      at += part.length;
    }
    this.#package = [];
    this.#ready.push({ record: { kind: "package", bytes }, offset: this.#packageOffset, length });
    this.#end = this.#packageOffset + length;
  }

  #handler(): StreamHandler {
    const nameOf = (block: number): string => this.#parser.blocks[block]?.name ?? "";
    return {
      header: (from, to) => this.#add({ kind: "header" }, from, to),
      configuration: (machine, from, to) => this.#add({ kind: "configuration", machine }, from, to),
      configurationPart: (part, from, to) => this.#add({ kind: "configuration-part", part }, from, to),
      command: (command, from, to) => this.#add({ kind: "command", command }, from, to),
      packageBytes: (from, to, left) => this.#packageBytes(from, to, left),
      sectionBegin: (section, from, to) => this.#add({ kind: "section-begin", section }, from, to),
      ramSize: (totalBytes, from, to) => this.#add({ kind: "ram-size", totalBytes }, from, to),
      ramBlock: (block, from, to) => this.#add({ kind: "ram-block", block }, from, to),
      page: (block, offset, at, from) => {
        const to = at + this.#parser.pageBytes;
        const continued = at - from === CONTINUED_HEAD_BYTES;
        const bytes = this.#bytes.slice(at, to);
        this.#add({ kind: "page", block: nameOf(block), offset, continued, bytes }, from, to);
      },
      zero: (block, offset, fill, from, to) => {
        const continued = to - from === CONTINUED_HEAD_BYTES + 1;
        this.#add({ kind: "zero", block: nameOf(block), offset, continued, fill }, from, to);
      },
      mark: (mark, from, to) => this.#add({ kind: "mark", mark }, from, to),
      bitmapChunk: (chunk, from, to) => this.#add({ kind: "bitmap-chunk", chunk }, from, to),
      sectionEnd: (id, from, to) => this.#add({ kind: "section-end", id }, from, to),
      transparent: (reason) =>
        void this.#ready.push({ record: { kind: "transparent", reason }, offset: this.#end, length: 0 }),
      opaque: (from, to) => this.#add({ kind: "opaque", bytes: this.#bytes.slice(from, to) }, from, to),
    };
  }
}
