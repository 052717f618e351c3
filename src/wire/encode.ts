/**
 * Pages into operations against the page store. Decides for each page the cheapest operation that restores it exactly
 * (the tests run from cheap to dear), and keeps the store as the decoder will have it. Compression, frames and which
 * pages are due are left to the relay.
 *
 * An equal page is found by hash and then compared byte by byte. Only for a page whose stored version had to make
 * room does a hash stand for the bytes, and there it is SHA-256 (see `proveWith`).
 */
import { PAGE_BYTES, SUMS_BYTES, type Kernels } from "../page/types.ts";
import { BatchColumns, Op, type Phase, Phase as Phases } from "./batch.ts";
import { ContentIndex, LOOK_BYTES } from "./content-index.ts";
import { PageTally, type PageCounters } from "./counters.ts";
import type { Sha256 } from "./hello.ts";
import { PROOF_BYTES, type GuestBlock } from "./guest-map.ts";
import { BATCH_DIGEST_BYTES, BATCH_PAGES_MAX } from "./limits.ts";
import { refuse } from "./refuse.ts";
import type { PageStore } from "./store.ts";

/** Up to here an own delta is taken unasked: finding a duplicate would save less than it costs to remember. */
export const OWN_DELTA_BYTES_CHEAP = 128;
/** An own delta longer than this leaves less than a quarter to save, and its bytes compress worse than a page's. */
export const OWN_DELTA_BYTES_MAX = 3072;
/** zstd makes two fifths of a guest's ordinary page; a near page must do clearly better than that to be worth it. */
export const SIMILAR_DELTA_BYTES_MAX = 1024;

const SCRATCH_BYTES = LOOK_BYTES + BATCH_DIGEST_BYTES;
/** Literals, deltas and the room that one more may need, sums, what is known of one page, digest. */
export const ENCODER_BYTES =
  (2 * BATCH_PAGES_MAX + 1 + Math.ceil((BATCH_PAGES_MAX * SUMS_BYTES + SCRATCH_BYTES) / PAGE_BYTES)) *
  PAGE_BYTES;

export interface EncodedBatch {
  /** Header and columns. */
  readonly head: Uint8Array;
  /** In the kernels' memory, good until the next page is added; so are the deltas and the digest. */
  readonly literals: Uint8Array;
  readonly deltas: Uint8Array;
  readonly digest: Uint8Array;
  /** The mix, so that the codec can be chosen by what the payload is. */
  readonly counters: PageCounters;
}

export const batchParts = ({ head, literals, deltas, digest }: EncodedBatch): readonly Uint8Array[] => [
  head,
  literals,
  deltas,
  digest,
];

export class Encoder {
  readonly #kernels: Kernels;
  readonly #store: PageStore;
  readonly #index: ContentIndex;
  readonly #columns = new BatchColumns();
  readonly #tally = new PageTally();
  /** Positions: literals in a row, deltas in a row, sums of all restored pages for the digest, the digest. */
  readonly #literals: number;
  readonly #deltas: number;
  readonly #sums: number;
  readonly #digest: number;
  #restored = 0;
  #literalCount = 0;
  #deltaBytes = 0;
  #vm = 0;
  #phase: Phase = Phases.preCopy;
  #sha256: Sha256 | undefined;

  /** `scratch`: `ENCODER_BYTES` of the kernels' memory, aligned to 16, nobody else's. */
  constructor(kernels: Kernels, store: PageStore, scratch: number) {
    this.#kernels = kernels;
    this.#store = store;
    this.#literals = scratch;
    this.#deltas = scratch + BATCH_PAGES_MAX * PAGE_BYTES;
    this.#sums = this.#deltas + (BATCH_PAGES_MAX + 1) * PAGE_BYTES;
    this.#digest = this.#sums + BATCH_PAGES_MAX * SUMS_BYTES;
    this.#index = new ContentIndex(kernels, store, this.#digest + BATCH_DIGEST_BYTES);
  }

  /**
   * With it, a page that is sent again with the content it had stays `unchanged` even when its stored version had to
   * make room. The hash is taken when a version leaves the store, so it costs nothing while the store suffices, and
   * 16 bytes per page (0.4 % of the guest) and one SHA-256 per eviction after that: worth it while the link, not the
   * processor, is the limit. The caller decides.
   */
  proveWith(sha256: Sha256): void {
    this.#sha256 = sha256;
    this.#store.onEvict((block, page, position) => block.setProof(page, this.#proofOf(position, sha256)));
  }

  get pages(): number {
    return this.#columns.pages;
  }

  get isFull(): boolean {
    return this.#columns.pages === BATCH_PAGES_MAX;
  }

  /** What the next pages are of. The batch before must have been taken. */
  begin(vm: number, phase: Phase): void {
    if (this.#columns.pages > 0 && (vm !== this.#vm || phase !== this.#phase)) {
      throw new Error("a batch holds pages of one guest in one phase");
    }
    this.#vm = vm;
    this.#phase = phase;
  }

  /** The page whose bytes are at `position`. It may be overwritten after this returns. */
  add(position: number, blockId: number, page: number): Op {
    if (this.isFull) throw new Error("the batch is full");
    const block = this.#store.block(this.#vm, blockId);
    if (block === undefined) return refuse(`RAM block ${blockId} is unknown`);
    if (!(page >= 0 && page < block.pages)) return refuse(`page ${page} is beyond RAM block ${blockId}`);
    const before = this.#payloadBytes();
    const op = this.#choose(position, block, page);
    this.#columns.page(op, blockId, page);
    this.#tally.add(op, this.#payloadBytes() - before);
    return op;
  }

  /** The batch so far, and begins the next; undefined when it is empty. */
  take(): EncodedBatch | undefined {
    if (this.#columns.pages === 0) return undefined;
    const { bytes } = this.#kernels;
    const piece = (from: number, count: number): Uint8Array => bytes.subarray(from, from + count);
    if (this.#restored > 0) this.#kernels.digest(this.#sums, this.#restored, this.#digest);
    else bytes.fill(0, this.#digest, this.#digest + BATCH_DIGEST_BYTES);
    const batch = {
      head: this.#columns.head(this.#vm, this.#phase, this.#payloadBytes()),
      literals: piece(this.#literals, this.#literalCount * PAGE_BYTES),
      deltas: piece(this.#deltas, this.#deltaBytes),
      digest: piece(this.#digest, BATCH_DIGEST_BYTES),
      counters: this.#tally.counters(),
    };
    this.#clear();
    return batch;
  }

  /** Contents that are in these slots already, from an earlier migration: they are found from now on. */
  remember(first: number, end: number): void {
    for (let slot = first; slot < end; slot += 1) {
      const position = this.#store.positionOf(slot);
      this.#kernels.sums(position, this.#sums);
      this.#index.look(position, this.#sums);
      this.#index.insert(slot);
    }
  }

  /** A connection was lost and the stores begin anew under `storeId`; what was in the batch is not sent. */
  reset(storeId: bigint): void {
    this.#clear();
    this.#index.clear();
    this.#store.reset(storeId);
  }

  #clear(): void {
    this.#columns.clear();
    this.#tally.clear();
    this.#restored = 0;
    this.#literalCount = 0;
    this.#deltaBytes = 0;
  }

  #payloadBytes(): number {
    return this.#literalCount * PAGE_BYTES + this.#deltaBytes;
  }

  #choose(position: number, block: GuestBlock, page: number): Op {
    const kernels = this.#kernels;
    const store = this.#store;
    if (kernels.isZero(position)) {
      store.zeroed(block, page);
      return Op.zero;
    }
    const own = store.slotOf(block, page);
    if (this.#isUnchanged(position, block, page, own)) {
      store.unchanged(block, page);
      return Op.unchanged;
    }
    const sums = this.#sums + this.#restored * SUMS_BYTES;
    kernels.sums(position, sums);
    this.#restored += 1;
    if (own >= 0 && kernels.equal(position, store.positionOf(own))) return this.#duplicate(block, page, own);

    this.#index.look(position, sums);
    let deltaBytes = own < 0 ? 0 : this.#deltaFrom(own, position, OWN_DELTA_BYTES_MAX);
    const equal =
      deltaBytes > 0 && deltaBytes <= OWN_DELTA_BYTES_CHEAP ? -1 : this.#index.findEqual(position);
    if (equal >= 0) return this.#duplicate(block, page, equal);
    if (deltaBytes > 0) {
      this.#appendDelta(deltaBytes);
      store.touch(own);
      this.#index.insert(store.place(block, page, position));
      return Op.delta;
    }
    const near = this.#index.findNear();
    deltaBytes = near < 0 ? 0 : this.#deltaFrom(near, position, SIMILAR_DELTA_BYTES_MAX);
    if (deltaBytes > 0) {
      this.#columns.slot(near);
      this.#appendDelta(deltaBytes);
      store.touch(near);
    } else {
      kernels.copy(position, this.#literals + this.#literalCount * PAGE_BYTES);
      this.#literalCount += 1;
    }
    this.#index.insert(store.place(block, page, position));
    return deltaBytes > 0 ? Op.similar : Op.literal;
  }

  #isUnchanged(position: number, block: GuestBlock, page: number, own: number): boolean {
    if (this.#phase !== Phases.preCopy || !block.isCurrent(page)) return false;
    if (own >= 0) return this.#kernels.equal(position, this.#store.positionOf(own));
    if (this.#sha256 === undefined || !block.hasProof(page)) return false;
    return block.isProved(page, this.#proofOf(position, this.#sha256));
  }

  #duplicate(block: GuestBlock, page: number, slot: number): Op {
    this.#columns.slot(slot);
    this.#store.refer(block, page, slot);
    return Op.duplicate;
  }

  #deltaFrom(slot: number, page: number, limit: number): number {
    const out = this.#deltas + this.#deltaBytes;
    return this.#kernels.deltaEncode(this.#store.positionOf(slot), page, out, limit);
  }

  #appendDelta(count: number): void {
    this.#deltaBytes += count;
    this.#columns.deltaBytes(count);
  }

  #proofOf(position: number, sha256: Sha256): Uint8Array {
    return sha256([this.#kernels.bytes.subarray(position, position + PAGE_BYTES)]).subarray(0, PROOF_BYTES);
  }
}
