/**
 * Finds slots by a 32-bit key, at the sender only. It forgets and it errs: four places per key, newest first, never
 * cleaned. That keeps every step constant however a guest's pages collide, and costs nothing in safety: whoever asks
 * compares bytes, or makes a delta that restores the page whatever its base is.
 */
export const WAYS = 4;
const NONE = 0;

export class IndexByKey {
  readonly #entries: Uint32Array;
  readonly #sets: number;

  /** Two places per expected key, so that few are pushed out by others. */
  constructor(keys: number) {
    this.#sets = 2 ** Math.ceil(Math.log2(Math.max(1, (keys * 2) / WAYS)));
    this.#entries = new Uint32Array(this.#sets * WAYS);
  }

  /** The slot in one of the key's places; -1 for an empty one. */
  at(key: number, way: number): number {
    return (this.#entries[this.#first(key) + way] ?? NONE) - 1;
  }

  insert(key: number, slot: number): void {
    const first = this.#first(key);
    for (let way = 0; way < WAYS; way += 1) if (this.#entries[first + way] === slot + 1) return;
    for (let way = WAYS - 1; way > 0; way -= 1) {
      this.#entries[first + way] = this.#entries[first + way - 1] ?? NONE;
    }
    this.#entries[first] = slot + 1;
  }

  clear(): void {
    this.#entries.fill(NONE);
  }

  /** Keys are hashes of unknown quality in their low bits: multiply, then fold. */
  #first(key: number): number {
    const mixed = Math.imul(key ^ (key >>> 15), 0x2c1b3c6d);
    return ((mixed ^ (mixed >>> 13)) & (this.#sets - 1)) * WAYS;
  }
}
