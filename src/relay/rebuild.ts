/**
 * What travelled back into a stream that QEMU cannot tell from an original. Decides which pages are delivered (all of
 * them in pre-copy, each missing one once in post-copy) and what may not come when; the socket is left to target.ts.
 */
import type { Kernels } from "../page/types.ts";
import { PAGE_BYTES } from "../page/types.ts";
import { UNIT_BYTES_MAX } from "../stream/limits.ts";
import { Forwarding } from "../stream/forwarding.ts";
import { MissingPages } from "../stream/missing.ts";
import { StreamParser } from "../stream/parser.ts";
import type { Command, RamBlock, SectionBegin, Transparent } from "../stream/types.ts";
import { StreamWriter } from "../stream/writer.ts";
import { Phase } from "../wire/batch.ts";
import type { Decoder, RestoredPages } from "../wire/decode.ts";
import { BATCH_PAGES_MAX, NAME_BYTES_MAX } from "../wire/limits.ts";
import { refuse } from "../wire/refuse.ts";
import type { PageStore } from "../wire/store.ts";
import { pagesOf, VM } from "./encoding.ts";

/** One batch as a section, each page naming a block of the longest name. */
export const SECTION_BYTES_MAX = BATCH_PAGES_MAX * (PAGE_BYTES + 9 + NAME_BYTES_MAX) + 64;

export interface RebuildParts {
  readonly kernels: Kernels;
  readonly decoder: Decoder;
  readonly store: PageStore;
  readonly postcopyRam: boolean;
}

export class StreamRebuild extends Forwarding {
  readonly #parts: RebuildParts;
  readonly #parser: StreamParser;
  /** Two, so that one is filled while QEMU takes the other. */
  readonly #writers: readonly StreamWriter[];
  #turn = 0;
  #bytes: Uint8Array = new Uint8Array();
  #rest: Uint8Array = new Uint8Array();
  #out: Uint8Array[] = [];
  #package: Uint8Array[] = [];
  #ramId: number | undefined;
  #ramEnded = false;
  #missing: MissingPages | undefined;
  #phase: Phase = Phase.preCopy;
  #packageDone = false;
  #opaque: Transparent | undefined;
  /** Blocks that no batch can name. */
  #hasForeignBlocks = false;
  droppedPages = 0;

  constructor(parts: RebuildParts) {
    super();
    this.#parts = parts;
    this.#parser = new StreamParser(this, { postcopyRam: parts.postcopyRam });
    this.#writers = [0, 1].map(() => new StreamWriter(new Uint8Array(SECTION_BYTES_MAX), PAGE_BYTES));
  }

  /** The device state of a post-copy has gone to QEMU: from here on the guest may be its. */
  get isPostCopy(): boolean {
    return this.#packageDone;
  }
  get missingPages(): number | undefined {
    return this.#packageDone ? this.#missing?.count : undefined;
  }
  get opaqueReason(): Transparent | undefined {
    return this.#opaque;
  }
  get isComplete(): boolean {
    return this.#parser.state === "transparent";
  }

  /** Bytes of the stream; what QEMU gets for them. */
  raw(payload: Uint8Array): Uint8Array {
    this.#bytes = this.#rest.byteLength === 0 ? payload : Buffer.concat([this.#rest, payload]);
    const at = this.#parser.parse(this.#bytes);
    this.#rest = this.#bytes.slice(at);
    if (this.#rest.byteLength > UNIT_BYTES_MAX) return refuse("bytes that make no record");
    const out = this.#out.length === 1 ? this.#out[0] : Buffer.concat(this.#out);
    this.#out = [];
    return out ?? new Uint8Array();
  }

  /** A batch; the section that QEMU gets for it, good until the second next call. */
  pages(payload: Uint8Array): { readonly section: Uint8Array; readonly pages: RestoredPages } {
    const id = this.#ramId;
    const isReady = id !== undefined && !this.#ramEnded && !this.#hasForeignBlocks;
    if (!isReady || this.#parser.state !== "between" || this.#rest.byteLength > 0) {
      return refuse("pages where QEMU takes none");
    }
    if (this.#phase === Phase.postCopy && !this.#packageDone) {
      return refuse("pages between a discard and the device state");
    }
    const pages = this.#parts.decoder.decode(payload, VM, this.#phase);
    const writer = this.#writers[this.#turn % this.#writers.length];
    if (writer === undefined) throw new RangeError("no writer");
    this.#turn += 1;
    writer.clear();
    writer.begin("part", id);
    for (let at = 0; at < pages.count; at += 1) this.#deliver(writer, pages, at);
    writer.end();
    return { section: writer.written, pages };
  }

  #deliver(writer: StreamWriter, pages: RestoredPages, at: number): void {
    const block = pages.blocks[at] ?? 0;
    const page = pages.pages[at] ?? 0;
    const isMissing = this.#missing?.take(block, page) ?? true;
    if (!isMissing && this.#phase === Phase.postCopy) {
      this.droppedPages += 1;
      return;
    }
    const written =
      pages.isZero[at] === 1
        ? writer.zero(block, page * PAGE_BYTES)
        : writer.page(block, page * PAGE_BYTES, this.#parts.kernels.bytes, pages.positions[at] ?? 0);
    if (!written) throw new RangeError("a section longer than its buffer");
  }

  verbatim(from: number, to: number): void {
    this.#out.push(this.#bytes.subarray(from, to));
  }

  page(block: number, offset: number, at: number, from: number): void {
    this.#missing?.take(block, offset / PAGE_BYTES);
    this.verbatim(from, at + this.#parser.pageBytes);
  }

  zero(block: number, offset: number, _fill: number, from: number, to: number): void {
    this.#missing?.take(block, offset / PAGE_BYTES);
    this.verbatim(from, to);
  }

  override ramBlock(block: RamBlock, from: number, to: number): void {
    this.verbatim(from, to);
    if (block.hostPageBytes !== undefined || this.#parser.pageBytes !== PAGE_BYTES) {
      this.#hasForeignBlocks = true;
      return;
    }
    this.#parts.store.addBlock(VM, this.#parser.blocks.length - 1, pagesOf(block));
    for (const writer of this.#writers) writer.addBlock(block);
  }

  override sectionBegin(section: SectionBegin, from: number, to: number): void {
    this.verbatim(from, to);
    if (section.type === "start" && section.idstr === "ram") this.#ramId = section.id;
    else if (section.type === "end" && section.id === this.#ramId) this.#ramEnded = true;
  }

  override sectionEnd(id: number, from: number, to: number): void {
    this.verbatim(from, to);
    if (id !== this.#ramId || this.#missing !== undefined || !this.#parts.postcopyRam) return;
    if (this.#parser.pageBytes === PAGE_BYTES)
      this.#missing = new MissingPages(this.#parser.blocks, PAGE_BYTES);
  }

  override command(command: Command, from: number, to: number): void {
    if (command.kind === "postcopy-discard" || command.kind === "packaged") this.#phase = Phase.postCopy;
    if (command.kind === "packaged") {
      this.#package.push(this.#bytes.slice(from, to));
      return;
    }
    this.verbatim(from, to);
    if (command.kind === "postcopy-discard") this.#discard(command);
  }

  /** Held until it is whole: while a part of it is missing the source may still be told to resume. */
  override packageBytes(from: number, to: number, left: number): void {
    this.#package.push(this.#bytes.slice(from, to));
    if (left > 0) return;
    this.#out.push(...this.#package);
    this.#package = [];
    this.#packageDone = true;
  }

  override transparent(reason: Transparent): void {
    this.#opaque = reason;
  }

  #discard({ block: name, ranges }: Extract<Command, { kind: "postcopy-discard" }>): void {
    const index = this.#parser.blocks.findIndex((block) => block.name === name);
    this.#missing?.discard(index, ranges);
    const block = this.#parts.store.block(VM, index);
    if (block === undefined) return;
    for (const { start, length } of ranges) {
      this.#parts.store.discard(block, start / PAGE_BYTES, length / PAGE_BYTES);
    }
  }
}
