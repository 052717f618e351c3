/** Which stored content may equal a page, and which is near it. At the sender only; every answer is a candidate. */
import { FEATURES, type Kernels } from "../page/types.ts";
import { IndexByKey, WAYS } from "./index-by-key.ts";
import type { PageStore } from "./store.ts";

/** So that one value at two places of a page is two keys. */
const PLACE_STEP = 0x9e3779b1;

export class ContentIndex {
  readonly #kernels: Kernels;
  readonly #store: PageStore;
  readonly #features: Uint32Array;
  readonly #byHash: IndexByKey;
  readonly #byFeature: IndexByKey;
  readonly #hashOfSlot: BigUint64Array;
  readonly #featuresOfSlot: Uint32Array;
  /** Halves of a hash without making another bigint. */
  readonly #hash = new BigUint64Array(1);
  readonly #halves = new Uint32Array(this.#hash.buffer);
  readonly #scratch: number;

  /** `scratch`: 16-aligned, for `FEATURES` words. */
  constructor(kernels: Kernels, store: PageStore, scratch: number) {
    this.#kernels = kernels;
    this.#store = store;
    this.#scratch = scratch;
    this.#features = new Uint32Array(kernels.bytes.buffer, scratch, FEATURES);
    this.#byHash = new IndexByKey(store.slots);
    this.#byFeature = new IndexByKey(store.slots * FEATURES);
    this.#hashOfSlot = new BigUint64Array(store.slots);
    this.#featuresOfSlot = new Uint32Array(store.slots * FEATURES);
  }

  /** Hashes the page; `findEqual`, `findNear` and `insert` then speak of it. */
  look(page: number): void {
    this.#hash[0] = this.#kernels.hash(page);
    this.#kernels.features(page, this.#scratch);
  }

  /** A slot that holds the same bytes; -1 when none is known. */
  findEqual(page: number): number {
    const key = this.#halves[0] ?? 0;
    for (let way = 0; way < WAYS; way += 1) {
      const slot = this.#byHash.at(key, way);
      if (slot < 0) return -1;
      if (!this.#store.holds(slot) || this.#hashOfSlot[slot] !== this.#hash[0]) continue;
      if (this.#kernels.equal(page, this.#store.positionOf(slot))) return slot;
    }
    return -1;
  }

  /** The slot that shares most features; -1 when none shares any. */
  findNear(): number {
    let best = -1;
    let bestShared = 0;
    for (let place = 0; place < FEATURES; place += 1) {
      if (this.#saysNothing(place)) continue;
      for (let way = 0; way < WAYS; way += 1) {
        const slot = this.#byFeature.at(this.#keyOf(place), way);
        if (slot < 0) break;
        if (slot === best || !this.#store.holds(slot)) continue;
        const shared = this.#sharedWith(slot);
        if (shared > bestShared) [best, bestShared] = [slot, shared];
      }
      if (bestShared > FEATURES / 2) break;
    }
    return best;
  }

  /** The page looked at last is now in `slot`. */
  insert(slot: number): void {
    this.#hashOfSlot[slot] = this.#hash[0] ?? 0n;
    this.#byHash.insert(this.#halves[0] ?? 0, slot);
    for (let place = 0; place < FEATURES; place += 1) {
      this.#featuresOfSlot[slot * FEATURES + place] = this.#features[place] ?? 0;
      if (!this.#saysNothing(place)) this.#byFeature.insert(this.#keyOf(place), slot);
    }
  }

  clear(): void {
    this.#byHash.clear();
    this.#byFeature.clear();
  }

  #keyOf(place: number): number {
    return (this.#features[place] ?? 0) + Math.imul(place + 1, PLACE_STEP);
  }

  /** A block of one word over and over is in unrelated pages alike. */
  #saysNothing(place: number): boolean {
    return this.#features[place] === 0;
  }

  #sharedWith(slot: number): number {
    let shared = 0;
    for (let place = 0; place < FEATURES; place += 1) {
      if (this.#saysNothing(place)) continue;
      if (this.#featuresOfSlot[slot * FEATURES + place] === this.#features[place]) shared += 1;
    }
    return shared;
  }
}
