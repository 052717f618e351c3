/**
 * QEMU's stream into what travels: page records become batches of page operations, everything else stays as it was, in
 * its order. RAM's PART sections disappear (the target makes its own); its END travels empty, behind its pages. Decides
 * when a batch ends and when pages can no longer be told apart; sending is left to source.ts.
 */
import { PAGE_BYTES } from "../page/types.ts";
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
import type { Backlog } from "./backlog.ts";
import { PostCopyOrder } from "./post-copy-order.ts";
import {
  BATCH_HEAVY_PAGES,
  PUSHED_BATCH_PAGES_MAX,
  PUSHED_BATCH_PAGES_MIN,
  RAW_FRAME_BYTES,
} from "./limits.ts";

/** One guest per relay. */
export const VM = 0;

export interface EncodingSink {
  /** Of these bytes, one behind the other; good until it returns. So are a batch's. */
  raw(parts: readonly Uint8Array[]): void;
  pages(batch: EncodedBatch): void;
  /** Asked after each batch: whether to go on. */
  hasRoom(): boolean;
  /** Whether what was asked for may be sent, room or not. */
  hasUrgentRoom(): boolean;
  /** How many bytes that nobody asked for go at a time. */
  stepBytes(): number;
}

export interface EncodingParts {
  /** The kernels' memory, in which the stream lies too. */
  readonly bytes: Uint8Array;
  readonly encoder: Encoder;
  readonly store: PageStore;
  /** A page for those that are filled with one byte, and one that is zero and stays so. */
  readonly filledPage: number;
  readonly zeroPage: number;
  readonly backlog: Backlog;
  readonly postcopyRam: boolean;
}

type Mode = { readonly kind: "encoding" } | { readonly kind: "pass-through"; readonly reason: string };

export class StreamEncoding extends Forwarding {
  readonly #parts: EncodingParts;
  readonly #sink: EncodingSink;
  readonly #parser: StreamParser;
  readonly #order: PostCopyOrder;
  #raw: Uint8Array[] = [];
  #rawBytes = 0;
  #heavy = 0;
  #ramId: number | undefined;
  /** RAM's PART or END that was begun and did not travel. */
  #open: (SectionBegin & { readonly type: "part" | "end" }) | undefined;
  /** The page taken last; no block yet: -1. */
  #lastBlock = -1;
  #lastOffset = 0;
  #lastIsZero = false;
  #phase: Phase = Phase.preCopy;
  #mode: Mode = { kind: "encoding" };
  pages = 0;

  constructor(parts: EncodingParts, sink: EncodingSink) {
    super();
    this.#parts = parts;
    this.#sink = sink;
    this.#order = new PostCopyOrder(parts.backlog);
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
    return this.#order.wantedPages;
  }
  /** Nothing waits here. */
  get isIdle(): boolean {
    return this.#order.pages === 0 && this.#rawBytes === 0;
  }
  /** Whether more of QEMU's bytes may come. With a request open they come in any case: the page is among them. */
  get wantsMore(): boolean {
    if (this.#phase === Phase.preCopy) return this.#sink.hasRoom();
    if (this.#rawBytes > 0 || this.#order.isFull) return false;
    return this.#sink.hasRoom() || this.#order.isWaiting;
  }

  /** Takes what it can and returns where the rest begins. What is not a page has been given to the sink then. */
  take(from: number, to: number): number {
    if (this.#mode.kind === "pass-through") {
      this.verbatim(from, to);
      this.#flushRaw();
      return to;
    }
    for (let at = from; ;) {
      let next = this.#parser.parse(this.#parts.bytes, at, to);
      if (this.#isPassing() && next < to) {
        this.verbatim(next, to);
        next = to;
      }
      this.pump();
      this.#flushRaw();
      // What was held for want of room may go on at once.
      if (next === at || next === to || !this.wantsMore) return next;
      at = next;
    }
  }

  /** Sends of the backlog what there is room for, what was asked for first. */
  pump(): void {
    const order = this.#order;
    while (order.hasUrgent && this.#sink.hasUrgentRoom()) this.#sendHeld(true, BATCH_HEAVY_PAGES);
    while (order.pages > 0 && this.#sink.hasRoom()) this.#sendHeld(false, this.#pushedPages());
    if (order.pages === 0) this.#flushRaw();
  }

  /** Of pages that have to travel, as many as make a quarter of what may be under way. */
  #pushedPages(): number {
    const pages = Math.floor(this.#sink.stepBytes() / PAGE_BYTES);
    return Math.min(PUSHED_BATCH_PAGES_MAX, Math.max(PUSHED_BATCH_PAGES_MIN, pages));
  }

  #sendHeld(urgent: boolean, heavyMax: number): void {
    const add = (position: number, block: number, offset: number): boolean => {
      this.#add(position, block, offset);
      return this.#heavy < heavyMax;
    };
    this.#order.send(urgent, PUSHED_BATCH_PAGES_MAX, add, () => this.flush());
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
    const usedBytes = this.#parser.blocks[index]?.usedBytes ?? 0;
    // QEMU would refuse it too, but only once it has been remembered here.
    if (start % PAGE_BYTES !== 0 || start + length > usedBytes) {
      throw new CodedError("STREAM_INVALID", {
        offset: 0,
        expected: `a request of pages within the ${usedBytes} bytes of block ${block}`,
      });
    }
    this.#order.want(index, start, length);
    this.pump();
  }

  /** Not before the batch, which came earlier. */
  verbatim(from: number, to: number): void {
    if (from === to) return;
    if (this.#parts.encoder.pages > 0) this.flush();
    for (let at = from; at < to; at += RAW_FRAME_BYTES) {
      const view = this.#parts.bytes.subarray(at, Math.min(to, at + RAW_FRAME_BYTES));
      // A view is enough where nothing stays here when `take` returns.
      const piece = this.#order.pages > 0 ? view.slice() : view;
      if (this.#rawBytes + piece.byteLength > RAW_FRAME_BYTES) this.#flushRaw();
      this.#raw.push(piece);
      this.#rawBytes += piece.byteLength;
    }
    if (!this.wantsMore) this.#parser.pause();
  }

  page(block: number, offset: number, at: number, from: number): void {
    if (this.#isForeign(from, at + PAGE_BYTES)) return;
    this.#got(at, block, offset);
  }

  zero(block: number, offset: number, fill: number, from: number, to: number): void {
    if (this.#isForeign(from, to)) return;
    const { bytes, filledPage, zeroPage } = this.#parts;
    if (fill !== 0) bytes.fill(fill, filledPage, filledPage + PAGE_BYTES);
    this.#got(fill === 0 ? zeroPage : filledPage, block, offset);
  }

  #got(position: number, block: number, offset: number): void {
    if (this.#phase === Phase.preCopy) return this.#add(position, block, offset);
    if (this.#order.pages === 0) this.#flushRaw();
    this.#order.got(position, block, offset);
    if (this.#order.isFull) this.#parser.pause();
  }

  #add(position: number, block: number, offset: number): void {
    const { encoder, zeroPage } = this.#parts;
    const op = encoder.add(position, block, offset / PAGE_BYTES);
    this.pages += 1;
    this.#lastBlock = block;
    this.#lastOffset = offset;
    this.#lastIsZero = position === zeroPage;
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
      this.#order.begin(this.#parser.blocks);
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
    if (this.#lastBlock < 0) return;
    const { bytes, store } = this.#parts;
    const block = this.#parser.blocks[this.#lastBlock]?.name ?? "";
    const record = { block, offset: this.#lastOffset, continued: false } as const;
    if (this.#lastIsZero) return this.#own(encodeRecords([{ kind: "zero", ...record, fill: 0 }]));
    // The page sent last is the one that the store has had no reason yet to drop.
    const known = store.block(VM, this.#lastBlock);
    const slot = known === undefined ? -1 : store.slotOf(known, this.#lastOffset / PAGE_BYTES);
    if (slot < 0) throw new RangeError("the page sent last is not in the store");
    const at = store.positionOf(slot);
    this.#own(encodeRecords([{ kind: "page", ...record, bytes: bytes.slice(at, at + PAGE_BYTES) }]));
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
    if (!this.wantsMore) this.#parser.pause();
  }

  #flushRaw(): void {
    // Not before the pages that came earlier.
    if (this.#rawBytes === 0 || this.#order.pages > 0) return;
    const pieces = this.#raw;
    this.#raw = [];
    this.#rawBytes = 0;
    this.#sink.raw(pieces);
  }
}

export const pagesOf = ({ usedBytes }: Pick<RamBlock, "usedBytes">): number =>
  Math.max(1, Math.ceil(usedBytes / PAGE_BYTES));

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
