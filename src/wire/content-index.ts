/** Which stored content may equal a page, and which is near it. At the sender only; every answer is a candidate. */
import { FEATURES, type Kernels, SUMS_BYTES } from "../page/types.ts";
import { IndexByKey, WAYS } from "./index-by-key.ts";
import type { PageStore } from "./store.ts";

/** So that one value at two places of a page is two keys. */
const PLACE_STEP = 0x9e3779b1;

/** Of the kernels' memory: what was found out about one page. */
export const LOOK_BYTES = SUMS_BYTES + FEATURES * 4;

export class ContentIndex {
  readonly #kernels: Kernels;
  readonly #store: PageStore;
  readonly #features: Uint32Array;
  readonly #byHash: IndexByKey;
  readonly #byFeature: IndexByKey;
  /** The half of a content's hash that is not its key; a match is compared in any case. */
  readonly #hashOfSlot: Uint32Array;
  readonly #featuresOfSlot: Uint32Array;
  readonly #hash: Uint32Array;
  readonly #scratch: number;

  /** `scratch`: 16-aligned, `LOOK_BYTES` long. */
  constructor(kernels: Kernels, store: PageStore, scratch: number) {
    this.#kernels = kernels;
    this.#store = store;
    this.#scratch = scratch;
    this.#hash = new Uint32Array(kernels.bytes.buffer, scratch, 2);
    this.#features = new Uint32Array(kernels.bytes.buffer, scratch + SUMS_BYTES, FEATURES);
    this.#byHash = new IndexByKey(store.slots);
    this.#byFeature = new IndexByKey(store.slots * FEATURES);
    this.#hashOfSlot = new Uint32Array(store.slots);
    this.#featuresOfSlot = new Uint32Array(store.slots * FEATURES);
  }

  /** Takes the page's `sums`; `findEqual`, `findNear` and `insert` then speak of it. */
  look(page: number, sums: number): void {
    this.#kernels.bytes.copyWithin(this.#scratch, sums, sums + SUMS_BYTES);
    this.#kernels.features(page, this.#scratch + SUMS_BYTES);
  }

  /** A slot that holds the same bytes; -1 when none is known. */
  findEqual(page: number): number {
    const key = this.#hash[0] ?? 0;
    for (let way = 0; way < WAYS; way += 1) {
      const slot = this.#byHash.at(key, way);
      if (slot < 0) return -1;
      if (!this.#store.holds(slot) || this.#hashOfSlot[slot] !== this.#hash[1]) continue;
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
    this.#hashOfSlot[slot] = this.#hash[1] ?? 0;
    this.#byHash.insert(this.#hash[0] ?? 0, slot);
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
