/**
 * A batch of page operations as bytes, drawn in docs/wire.md: numbers that look alike stand together in columns, apart
 * from the payload, because both compress better so. The payload is first the literals, then the
 * deltas. Decides the form alone; whether slots and pages exist is left to
 * the decoder.
 *
 *   0    2       3      4       6        8          10        12          14     16             20
 *   +----+-------+------+-------+--------+----------+---------+-----------+------+--------------+-----...
 *   | vm | phase | zero | pages | ops    | places   | slots   | lengths   | zero | payload      | ops, places, slots,
 *   |    |       |      |       | bytes  | bytes    | bytes   | bytes     |      | bytes        | lengths, payload, digest
 *   +----+-------+------+-------+--------+----------+---------+-----------+------+--------------+-----...
 *     u16  u8      u8     u16     u16      u16        u16       u16         u16    u32
 */
import { PAGE_BYTES } from "../page/types.ts";
import {
  BATCH_ALIGN_BYTES,
  BATCH_DIGEST_BYTES,
  BATCH_HEADER_BYTES,
  BATCH_PAGES_MAX,
  BATCH_PAGE_COLUMN_BYTES_MAX,
  BLOCKS_MAX,
  BLOCK_PAGES_MAX,
} from "./limits.ts";
import { refuse } from "./refuse.ts";
import { ColumnReader, ColumnWriter, fold, unfold } from "./uleb.ts";

export const Op = { zero: 1, unchanged: 2, delta: 3, duplicate: 4, similar: 5, literal: 6 } as const;
export type Op = (typeof Op)[keyof typeof Op];
export const OPS: readonly Op[] = [1, 2, 3, 4, 5, 6];

export const Phase = { preCopy: 1, postCopy: 2 } as const;
export type Phase = (typeof Phase)[keyof typeof Phase];

const RUN_MAX = 32;

const aligned = (bytes: number): number => Math.ceil(bytes / BATCH_ALIGN_BYTES) * BATCH_ALIGN_BYTES;

/** The columns of one batch while it grows. */
export class BatchColumns {
  readonly #ops = new ColumnWriter(BATCH_PAGES_MAX);
  readonly #places = new ColumnWriter(BATCH_PAGES_MAX * 9);
  readonly #slots = new ColumnWriter(BATCH_PAGES_MAX * 5);
  readonly #lengths = new ColumnWriter(BATCH_PAGES_MAX * 2);
  #pages = 0;
  #op: Op = Op.zero;
  #opRun = 0;
  #block = 0;
  #runFirst = 0;
  #run = 0;
  #expected = 0;
  #blockWritten = -1;
  #slotExpected = 0;

  get pages(): number {
    return this.#pages;
  }

  clear(): void {
    for (const column of [this.#ops, this.#places, this.#slots, this.#lengths]) column.clear();
    this.#pages = 0;
    this.#opRun = 0;
    this.#run = 0;
    this.#expected = 0;
    this.#blockWritten = -1;
    this.#slotExpected = 0;
  }

  page(op: Op, block: number, page: number): void {
    if (this.#opRun > 0 && (op !== this.#op || this.#opRun === RUN_MAX)) this.#endOps();
    this.#op = op;
    this.#opRun += 1;
    if (this.#run > 0 && (block !== this.#block || page !== this.#runFirst + this.#run)) this.#endPlaces();
    if (this.#run === 0) [this.#block, this.#runFirst] = [block, page];
    this.#run += 1;
    this.#pages += 1;
  }

  /** Duplicates of a stretch of memory lie in a stretch of slots, so the step to the next one is expected. */
  slot(slot: number): void {
    this.#slots.uleb(fold(slot - this.#slotExpected));
    this.#slotExpected = slot + 1;
  }

  deltaBytes(count: number): void {
    this.#lengths.uleb(count);
  }

  /** Header and columns. */
  head(vm: number, phase: Phase, payloadBytes: number): Uint8Array {
    if (this.#opRun > 0) this.#endOps();
    if (this.#run > 0) this.#endPlaces();
    const columns = [this.#ops, this.#places, this.#slots, this.#lengths].map(({ written }) => written);
    const bytes = columns.reduce((sum, { byteLength }) => sum + byteLength, BATCH_HEADER_BYTES);
    const head = new Uint8Array(aligned(bytes));
    const out = new DataView(head.buffer);
    out.setUint16(0, vm);
    out.setUint8(2, phase);
    out.setUint16(4, this.#pages);
    out.setUint32(16, payloadBytes);
    let at = BATCH_HEADER_BYTES;
    for (const [index, column] of columns.entries()) {
      out.setUint16(6 + index * 2, column.byteLength);
      head.set(column, at);
      at += column.byteLength;
    }
    return head;
  }

  #endOps(): void {
    this.#ops.byte((this.#opRun - 1) * 8 + this.#op);
    this.#opRun = 0;
  }

  #endPlaces(): void {
    const sameBlock = this.#block === this.#blockWritten;
    this.#places.uleb(this.#run * 2 + (sameBlock ? 0 : 1));
    if (!sameBlock) this.#places.uleb(this.#block);
    this.#places.uleb(fold(this.#runFirst - (sameBlock ? this.#expected : 0)));
    this.#expected = this.#runFirst + this.#run;
    this.#blockWritten = this.#block;
    this.#run = 0;
  }
}

/** One batch taken apart; the arrays are used again for the next. */
export class BatchParts {
  readonly ops = new Uint8Array(BATCH_PAGES_MAX);
  readonly blocks = new Uint16Array(BATCH_PAGES_MAX);
  readonly pageNumbers = new Uint32Array(BATCH_PAGES_MAX);
  /** For duplicate and similar. */
  readonly slots = new Uint32Array(BATCH_PAGES_MAX);
  /** For delta, similar and literal: how much of the payload is theirs. */
  readonly lengths = new Uint16Array(BATCH_PAGES_MAX);
  vm = 0;
  phase: Phase = Phase.preCopy;
  pages = 0;
  payload: Uint8Array = new Uint8Array(0);
  /** Of the payload; the rest is deltas. Each part is in the order of its pages. */
  literalBytes = 0;
  digest: Uint8Array = new Uint8Array(0);

  /** Every count, length and sum is checked; pages and slots are numbers of the right size, no more. */
  read(bytes: Uint8Array): void {
    if (bytes.byteLength < BATCH_HEADER_BYTES + BATCH_DIGEST_BYTES) return refuse("a batch is cut short");
    const head = new DataView(bytes.buffer, bytes.byteOffset, BATCH_HEADER_BYTES);
    const phase = head.getUint8(2);
    const pages = head.getUint16(4);
    const payloadBytes = head.getUint32(16);
    const columnBytes = [6, 8, 10, 12].map((at) => head.getUint16(at));
    const columnsBytes = columnBytes.reduce((sum, count) => sum + count, 0);
    if (phase !== Phase.preCopy && phase !== Phase.postCopy) return refuse(`phase ${phase} is unknown`);
    if (head.getUint8(3) !== 0 || head.getUint16(14) !== 0)
      return refuse("a batch's reserved bytes are not zero");
    if (pages < 1 || pages > BATCH_PAGES_MAX) return refuse(`a batch of ${pages} pages cannot be`);
    if (columnsBytes > pages * BATCH_PAGE_COLUMN_BYTES_MAX) return refuse("a batch's columns are too long");
    const payloadAt = aligned(BATCH_HEADER_BYTES + columnsBytes);
    if (payloadBytes > pages * PAGE_BYTES) return refuse("a batch's payload is too long");
    if (payloadAt + payloadBytes + BATCH_DIGEST_BYTES !== bytes.byteLength) {
      return refuse("a batch's parts do not add up to its length");
    }
    if (bytes.subarray(BATCH_HEADER_BYTES + columnsBytes, payloadAt).some((byte) => byte !== 0)) {
      return refuse("what fills up a batch's columns is not zero");
    }
    this.vm = head.getUint16(0);
    this.phase = phase;
    this.pages = pages;
    this.payload = bytes.subarray(payloadAt, payloadAt + payloadBytes);
    this.digest = bytes.subarray(payloadAt + payloadBytes);
    let at = BATCH_HEADER_BYTES;
    const [ops, places, slots, lengths] = columnBytes.map((count) => {
      const column = new ColumnReader(bytes.subarray(at, at + count));
      at += count;
      return column;
    });
    if (ops === undefined || places === undefined || slots === undefined || lengths === undefined) return;
    this.#readOps(ops);
    this.#readPlaces(places);
    this.#readBases(slots, lengths);
    if (![ops, places, slots, lengths].every(({ done }) => done)) {
      refuse("a batch's columns hold more than its pages");
    }
  }

  #readOps(column: ColumnReader): void {
    for (let index = 0; index < this.pages;) {
      const byte = column.byte();
      const op = byte % 8;
      const run = Math.floor(byte / 8) + 1;
      if (op < Op.zero || op > Op.literal) return refuse(`page operation ${op} is unknown`);
      if (op === Op.unchanged && this.phase === Phase.postCopy) {
        return refuse("a page cannot be unchanged in post-copy");
      }
      if (index + run > this.pages) return refuse("a run of operations leaves its batch");
      this.ops.fill(op, index, index + run);
      index += run;
    }
  }

  #readPlaces(column: ColumnReader): void {
    let block = -1;
    let expected = 0;
    for (let index = 0; index < this.pages;) {
      const token = column.uleb();
      const run = Math.floor(token / 2);
      if (token % 2 === 1) {
        block = column.uleb();
        expected = 0;
      }
      if (block < 0 || block >= BLOCKS_MAX) return refuse(`RAM block ${block} cannot be`);
      const first = expected + unfold(column.uleb());
      if (run < 1 || index + run > this.pages) return refuse("a run of pages leaves its batch");
      if (first < 0 || first + run > BLOCK_PAGES_MAX) return refuse(`page ${first} cannot be`);
      for (let page = first; page < first + run; page += 1) {
        this.blocks[index] = block;
        this.pageNumbers[index] = page;
        index += 1;
      }
      expected = first + run;
    }
  }

  #readBases(slots: ColumnReader, lengths: ColumnReader): void {
    let expected = 0;
    let payloadBytes = 0;
    this.literalBytes = 0;
    for (let index = 0; index < this.pages; index += 1) {
      const op = this.ops[index];
      let length = op === Op.literal ? PAGE_BYTES : 0;
      this.literalBytes += length;
      if (op === Op.duplicate || op === Op.similar) {
        const slot = expected + unfold(slots.uleb());
        if (slot < 0 || slot >= 2 ** 32) return refuse(`slot ${slot} cannot be`);
        this.slots[index] = slot;
        expected = slot + 1;
      }
      if (op === Op.delta || op === Op.similar) {
        length = lengths.uleb();
        if (length < 1 || length >= PAGE_BYTES) return refuse(`a delta of ${length} bytes cannot be`);
      }
      this.lengths[index] = length;
      payloadBytes += length;
    }
    if (payloadBytes !== this.payload.byteLength) refuse("a batch's payload is not what its lengths say");
  }
}
