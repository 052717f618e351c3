/**
 * Page operations back into pages. Decides whether a batch is one that a correct encoder made against this store, and
 * gives nothing out before the digest says that all of it was restored exactly. What a page is then for (a record of
 * the stream, one of the missing set) is left to the relay.
 *
 * Once a batch was refused the store is no longer the sender's: everything is refused until `reset`.
 */
import { PAGE_BYTES, SUMS_BYTES, type Kernels } from "../page/types.ts";
import { BatchParts, Op, OPS, type Phase } from "./batch.ts";
import { PageTally, type PageCounters } from "./counters.ts";
import type { GuestBlock } from "./guest-map.ts";
import { BATCH_BYTES_MAX, BATCH_DIGEST_BYTES, BATCH_PAGES_MAX } from "./limits.ts";
import { damaged, refuse } from "./refuse.ts";
import type { PageStore } from "./store.ts";

/** The payload, restored pages, their sums, one digest. */
export const DECODER_BYTES =
  (2 * BATCH_PAGES_MAX + Math.ceil((BATCH_PAGES_MAX * SUMS_BYTES + BATCH_DIGEST_BYTES) / PAGE_BYTES)) *
  PAGE_BYTES;

/** In the order they were added. Valid until the next batch; the arrays are longer than `count`. */
export interface RestoredPages {
  readonly vm: number;
  readonly phase: Phase;
  readonly count: number;
  readonly blocks: Uint16Array;
  readonly pages: Uint32Array;
  /** Where the bytes are in the kernels' memory; not set for a zero page. */
  readonly positions: Uint32Array;
  readonly isZero: Uint8Array;
  /** Pages that the guest has already, and that are thus not among these. */
  readonly unchanged: number;
  readonly counters: PageCounters;
}

export class Decoder {
  readonly #kernels: Kernels;
  readonly #store: PageStore;
  readonly #payloadAt: number;
  readonly #restoredAt: number;
  readonly #sumsAt: number;
  readonly #digestAt: number;
  readonly #parts = new BatchParts();
  readonly #tally = new PageTally();
  readonly #blocks = new Uint16Array(BATCH_PAGES_MAX);
  readonly #pages = new Uint32Array(BATCH_PAGES_MAX);
  readonly #positions = new Uint32Array(BATCH_PAGES_MAX);
  readonly #isZero = new Uint8Array(BATCH_PAGES_MAX);
  #broken = false;

  /** `scratch`: `DECODER_BYTES` of the kernels' memory, aligned to 16, nobody else's. */
  constructor(kernels: Kernels, store: PageStore, scratch: number) {
    this.#kernels = kernels;
    this.#store = store;
    this.#payloadAt = scratch;
    this.#restoredAt = scratch + BATCH_PAGES_MAX * PAGE_BYTES;
    this.#sumsAt = this.#restoredAt + BATCH_PAGES_MAX * PAGE_BYTES;
    this.#digestAt = this.#sumsAt + BATCH_PAGES_MAX * SUMS_BYTES;
  }

  /** `vm` and `phase` are what this side knows: a batch that says otherwise is refused. */
  decode(bytes: Uint8Array, vm: number, phase: Phase): RestoredPages {
    if (this.#broken) return refuse("a batch came after one that was refused");
    this.#broken = true;
    if (bytes.byteLength > BATCH_BYTES_MAX) return refuse("a batch is too long");
    const parts = this.#parts;
    parts.read(bytes);
    if (parts.vm !== vm) return refuse(`a batch is for guest ${parts.vm}, not ${vm}`);
    if (parts.phase !== phase) return refuse(`a batch is of phase ${parts.phase}, not ${phase}`);
    this.#tally.clear();
    const { count, restored } = this.#applyAll();
    this.#checkDigest(restored);
    this.#broken = false;
    const counters = this.#tally.counters();
    return {
      vm,
      phase,
      count,
      blocks: this.#blocks,
      pages: this.#pages,
      positions: this.#positions,
      isZero: this.#isZero,
      unchanged: counters.unchanged.pages,
      counters,
    };
  }

  reset(storeId: bigint): void {
    this.#broken = false;
    this.#store.reset(storeId);
  }

  #applyAll(): { count: number; restored: number } {
    const parts = this.#parts;
    this.#kernels.bytes.set(parts.payload, this.#payloadAt);
    let literalAt = this.#payloadAt;
    let deltaAt = this.#payloadAt + parts.literalBytes;
    let count = 0;
    let restored = 0;
    for (let index = 0; index < parts.pages; index += 1) {
      const op = OPS[(parts.ops[index] ?? 0) - 1] ?? refuse("a page operation is unknown");
      const blockId = parts.blocks[index] ?? 0;
      const page = parts.pageNumbers[index] ?? 0;
      const length = parts.lengths[index] ?? 0;
      const block = this.#store.block(parts.vm, blockId);
      if (block === undefined) return refuse(`RAM block ${blockId} is unknown`);
      if (page >= block.pages) return refuse(`page ${page} is beyond RAM block ${blockId}`);
      // A literal is restored where it lies.
      const out = op === Op.literal ? literalAt : this.#restoredAt + restored * PAGE_BYTES;
      this.#apply(op, block, page, parts.slots[index] ?? 0, deltaAt, length, out);
      if (op === Op.literal) literalAt += length;
      else deltaAt += length;
      this.#tally.add(op, length);
      if (op === Op.unchanged) continue;
      this.#blocks[count] = blockId;
      this.#pages[count] = page;
      this.#positions[count] = out;
      this.#isZero[count] = op === Op.zero ? 1 : 0;
      count += 1;
      if (op === Op.zero) continue;
      this.#kernels.sums(out, this.#sumsAt + restored * SUMS_BYTES);
      restored += 1;
    }
    return { count, restored };
  }

  #apply(
    op: Op,
    block: GuestBlock,
    page: number,
    slot: number,
    delta: number,
    length: number,
    out: number,
  ): void {
    const store = this.#store;
    switch (op) {
      case Op.zero:
        return store.zeroed(block, page);
      case Op.unchanged:
        if (!block.isCurrent(page)) return refuse(`page ${page} is unchanged but was never delivered`);
        return store.unchanged(block, page);
      case Op.delta: {
        const own = store.slotOf(block, page);
        if (own < 0) return refuse(`page ${page} has a delta but no base`);
        this.#applyDelta(own, delta, length, out);
        break;
      }
      case Op.duplicate:
        if (!store.holds(slot)) return refuse(`slot ${slot} is empty`);
        this.#kernels.copy(store.positionOf(slot), out);
        return store.refer(block, page, slot);
      case Op.similar:
        if (!store.holds(slot)) return refuse(`slot ${slot} is empty`);
        this.#applyDelta(slot, delta, length, out);
        break;
      case Op.literal:
        break;
    }
    store.place(block, page, out);
  }

  #applyDelta(slot: number, delta: number, length: number, out: number): void {
    const base = this.#store.positionOf(slot);
    if (!this.#kernels.deltaDecode(base, delta, length, out)) refuse("a delta cannot be applied");
    this.#store.touch(slot);
  }

  #checkDigest(restored: number): void {
    const { bytes } = this.#kernels;
    const { digest } = this.#parts;
    if (restored > 0) this.#kernels.digest(this.#sumsAt, restored, this.#digestAt);
    for (let at = 0; at < digest.byteLength; at += 1) {
      const got = restored > 0 ? bytes[this.#digestAt + at] : 0;
      if (got !== digest[at]) damaged("a batch of pages");
    }
  }
}
