/**
 * QEMU's stream into what travels: page records become batches of page operations, everything else stays as it was, in
 * its order. RAM's PART sections disappear (the target makes its own); its END travels empty, behind its pages. Decides
 * when a batch ends and when pages can no longer be told apart; sending is left to source.ts.
 */
import { PAGE_BYTES } from "../page/types.ts";
import { Joiner } from "../stream/bytes.ts";
import { encodeRecords } from "../stream/encode.ts";
import { Forwarding } from "../stream/forwarding.ts";
import { StreamParser } from "../stream/parser.ts";
import type {
  Command,
  ConfigurationPart,
  RamBlock,
  RamMark,
  SectionBegin,
  Transparent,
} from "../stream/types.ts";
import { Op, Phase } from "../wire/batch.ts";
import type { EncodedBatch, Encoder } from "../wire/encode.ts";
import type { PageStore } from "../wire/store.ts";
import { CodedError } from "../std/errors.ts";
import { BATCH_HEAVY_PAGES, RAW_FRAME_BYTES } from "./limits.ts";

/** One guest per relay. */
export const VM = 0;

export interface EncodingSink {
  raw(bytes: Uint8Array): void;
  pages(batch: EncodedBatch): void;
  /** Asked after each batch: whether to go on. */
  hasRoom(): boolean;
}

export interface EncodingParts {
  /** The kernels' memory, in which the stream lies too. */
  readonly bytes: Uint8Array;
  /** The kernels' `copy`. */
  readonly copyPage: (from: number, to: number) => void;
  readonly encoder: Encoder;
  readonly store: PageStore;
  /** A page of its own, and one that is zero and stays so. */
  readonly staging: number;
  readonly zeroPage: number;
  readonly postcopyRam: boolean;
}

type Mode = { readonly kind: "encoding" } | { readonly kind: "pass-through"; readonly reason: string };

export class StreamEncoding extends Forwarding {
  readonly #parts: EncodingParts;
  readonly #sink: EncodingSink;
  readonly #parser: StreamParser;
  readonly #wanted = new Set<number>();
  #raw: Uint8Array[] = [];
  #rawBytes = 0;
  #heavy = 0;
  #ramId: number | undefined;
  /** RAM's PART or END that was begun and did not travel. */
  #open: (SectionBegin & { readonly type: "part" | "end" }) | undefined;
  #last: { readonly block: number; readonly offset: number; readonly isZero: boolean } | undefined;
  #phase: Phase = Phase.preCopy;
  #mode: Mode = { kind: "encoding" };
  pages = 0;

  constructor(parts: EncodingParts, sink: EncodingSink) {
    super();
    this.#parts = parts;
    this.#sink = sink;
    this.#parser = new StreamParser(this, { postcopyRam: parts.postcopyRam });
    parts.encoder.begin(VM, this.#phase);
  }

  get mode(): Mode {
    return this.#mode;
  }
  get phase(): Phase {
    return this.#phase;
  }
  /** Whether the stream may end here. */
  get isComplete(): boolean {
    return this.#mode.kind === "pass-through" || this.#parser.state === "transparent";
  }
  get waitingPages(): number {
    return this.#parts.encoder.pages;
  }
  /** Pages the target's guest asked for that have not passed yet. */
  get wantedPages(): number {
    return this.#wanted.size;
  }

  /** Takes what it can and returns where the rest begins. What is not a page has been given to the sink then. */
  take(from: number, to: number): number {
    if (this.#mode.kind === "pass-through") {
      this.verbatim(from, to);
      this.#flushRaw();
      return to;
    }
    let at = this.#parser.parse(this.#parts.bytes, from, to);
    if (this.#isPassing() && at < to) {
      this.verbatim(at, to);
      at = to;
    }
    this.#flushRaw();
    if (this.#wanted.size > 0) this.flush();
    return at;
  }

  /** Ends the batch. */
  flush(): void {
    const batch = this.#parts.encoder.take();
    this.#heavy = 0;
    if (batch === undefined) return;
    this.#flushRaw();
    this.#sink.pages(batch);
    this.#parts.encoder.begin(VM, this.#phase);
    if (!this.#sink.hasRoom()) this.#parser.pause();
  }

  /** The target's guest waits for these: what comes of them does not wait for company. */
  want(block: string, start: number, length: number): void {
    const index = this.#parser.blocks.findIndex(({ name }) => name === block);
    if (index < 0) return;
    for (let at = start; at < start + length; at += PAGE_BYTES) this.#wanted.add(keyOf(index, at));
  }

  /** Not before the batch, which came earlier. */
  verbatim(from: number, to: number): void {
    if (from === to) return;
    if (this.#parts.encoder.pages > 0) this.flush();
    for (let at = from; at < to; at += RAW_FRAME_BYTES) {
      const piece = this.#parts.bytes.slice(at, Math.min(to, at + RAW_FRAME_BYTES));
      if (this.#rawBytes + piece.byteLength > RAW_FRAME_BYTES) this.#flushRaw();
      this.#raw.push(piece);
      this.#rawBytes += piece.byteLength;
    }
    if (!this.#sink.hasRoom()) this.#parser.pause();
  }

  page(block: number, offset: number, at: number, from: number): void {
    if (this.#isForeign(from, at + PAGE_BYTES)) return;
    const { copyPage, staging } = this.#parts;
    // Kernels want aligned positions; a stream has none. (Four times as fast as copyWithin in shared memory.)
    copyPage(at, staging);
    this.#add(staging, block, offset);
  }

  zero(block: number, offset: number, fill: number, from: number, to: number): void {
    if (this.#isForeign(from, to)) return;
    const { bytes, staging, zeroPage } = this.#parts;
    if (fill !== 0) bytes.fill(fill, staging, staging + PAGE_BYTES);
    this.#add(fill === 0 ? zeroPage : staging, block, offset);
  }

  #add(position: number, block: number, offset: number): void {
    const { encoder, zeroPage } = this.#parts;
    const op = encoder.add(position, block, offset / PAGE_BYTES);
    this.pages += 1;
    this.#last = { block, offset, isZero: position === zeroPage };
    if (this.#wanted.size > 0) this.#wanted.delete(keyOf(block, offset));
    if (op === Op.literal || op === Op.similar || op === Op.delta) this.#heavy += 1;
    if (encoder.isFull || this.#heavy >= BATCH_HEAVY_PAGES) this.flush();
  }

  /** Pages in RAM's first section belong to no batch: the target cannot begin a section within it. */
  #isForeign(from: number, to: number): boolean {
    if (this.#open !== undefined && !this.#isPassing()) return false;
    if (!this.#isPassing()) this.#pass("pages in RAM's first section");
    this.verbatim(from, to);
    return true;
  }

  override configurationPart(part: ConfigurationPart, from: number, to: number): void {
    this.verbatim(from, to);
    if ("bits" in part && 2 ** part.bits !== PAGE_BYTES) this.#pass(`pages of ${2 ** part.bits} bytes`);
  }

  override ramBlock(block: RamBlock, from: number, to: number): void {
    this.verbatim(from, to);
    if (block.hostPageBytes !== undefined) return this.#pass("huge pages");
    const index = this.#parser.blocks.length - 1;
    this.#parts.store.addBlock(VM, index, pagesOf(block));
  }

  override sectionBegin(section: SectionBegin, from: number, to: number): void {
    if (section.type === "start") {
      if (section.idstr === "ram") this.#ramId = section.id;
    } else if (section.id === this.#ramId && !this.#isPassing()) {
      this.#open = section;
      return;
    }
    this.verbatim(from, to);
  }

  override mark(mark: RamMark, from: number, to: number): void {
    if (this.#open === undefined) return this.verbatim(from, to);
    if (mark !== "eos") return this.#ownSection(mark);
    if (this.#open.type === "end") this.#openAgain();
    if (this.#open === undefined) this.verbatim(from, to);
  }

  override sectionEnd(_id: number, from: number, to: number): void {
    const wasDropped = this.#open !== undefined;
    this.#open = undefined;
    if (wasDropped) this.flush();
    else this.verbatim(from, to);
  }

  override command(command: Command, from: number, to: number): void {
    // Flushes what came before, in the phase it came in.
    this.verbatim(from, to);
    const switches = command.kind === "postcopy-discard" || command.kind === "packaged";
    if (switches && this.#phase === Phase.preCopy) {
      this.#phase = Phase.postCopy;
      this.#parts.encoder.begin(VM, this.#phase);
    }
    if (command.kind === "postcopy-discard") {
      const index = this.#parser.blocks.findIndex(({ name }) => name === command.block);
      const block = this.#parts.store.block(VM, index);
      if (block === undefined) return;
      for (const { start, length } of command.ranges) {
        this.#parts.store.discard(block, start / PAGE_BYTES, length / PAGE_BYTES);
      }
    }
  }

  override transparent(reason: Transparent): void {
    if (reason.kind === "tail") return;
    if (reason.kind === "page-form") this.#keepBlock();
    this.#mode = { kind: "pass-through", reason: reasonText(reason) };
  }

  #pass(reason: string): void {
    this.#mode = { kind: "pass-through", reason };
    // From here on bytes are not looked at.
    this.#parser.pause();
  }

  #isPassing(): boolean {
    return this.#mode.kind === "pass-through";
  }

  /** What follows leans on the block of the record before, which the target may have got in another section. */
  #keepBlock(): void {
    if (this.#phase === Phase.postCopy) {
      throw new CodedError("STREAM_INVALID", {
        offset: this.#parser.offset,
        expected: "plain pages in post-copy",
      });
    }
    this.#openAgain();
    const last = this.#last;
    if (last === undefined) return;
    const { bytes, staging } = this.#parts;
    const block = this.#parser.blocks[last.block]?.name ?? "";
    const record = last.isZero
      ? ({ kind: "zero", block, offset: last.offset, continued: false, fill: 0 } as const)
      : ({
          kind: "page",
          block,
          offset: last.offset,
          continued: false,
          bytes: bytes.slice(staging, staging + PAGE_BYTES),
        } as const);
    this.#own(encodeRecords([record]));
  }

  #openAgain(): void {
    if (this.#open === undefined) return;
    this.#own(encodeRecords([{ kind: "section-begin", section: this.#open }]));
    this.#open = undefined;
  }

  /** A mark within a section that does not travel gets one of its own. */
  #ownSection(mark: RamMark): void {
    if (this.#open === undefined) return;
    const section = { type: "part", id: this.#open.id } as const;
    this.#own(
      encodeRecords([
        { kind: "section-begin", section },
        { kind: "mark", mark },
        { kind: "mark", mark: "eos" },
        { kind: "section-end", id: section.id },
      ]),
    );
  }

  #own(bytes: Uint8Array): void {
    if (this.#parts.encoder.pages > 0) this.flush();
    this.#raw.push(bytes);
    this.#rawBytes += bytes.byteLength;
  }

  #flushRaw(): void {
    if (this.#rawBytes === 0) return;
    const out = new Joiner();
    for (const piece of this.#raw) out.raw(piece);
    this.#raw = [];
    this.#rawBytes = 0;
    this.#sink.raw(out.done());
  }
}

export const pagesOf = ({ usedBytes }: Pick<RamBlock, "usedBytes">): number =>
  Math.max(1, Math.ceil(usedBytes / PAGE_BYTES));

const keyOf = (block: number, offset: number): number => block * 2 ** 40 + offset / PAGE_BYTES;

function reasonText(reason: Transparent): string {
  switch (reason.kind) {
    case "unknown-section":
      return `section ${reason.idstr} (version ${reason.version})`;
    case "unknown-command":
      return `command ${reason.command}`;
    case "unknown-configuration":
      return `configuration ${reason.name}`;
    case "capability":
      return `capability ${reason.name}`;
    case "page-form":
      return `pages in the form ${reason.form}`;
    default:
      return reason.kind;
  }
}
