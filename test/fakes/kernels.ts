/** The page kernels, slow and obvious: for tests of rooms that only use them. */
import { createHash } from "node:crypto";

import { FEATURES, PAGE_BYTES, SUMS_BYTES, type Kernels } from "../../src/page/types.ts";

const FEATURE_BYTES = 64;
const FEATURE_PLACES = [448, 1344, 2560, 3712];

class SlowKernels implements Kernels {
  readonly memory: Kernels["memory"];
  readonly bytes: Uint8Array;

  constructor(byteLength: number) {
    this.bytes = new Uint8Array(byteLength);
    this.memory = { buffer: this.bytes.buffer } as Kernels["memory"];
  }

  isZero(page: number): boolean {
    return this.#page(page).every((byte) => byte === 0);
  }

  equal(one: number, other: number): boolean {
    return Buffer.compare(this.#page(one), this.#page(other)) === 0;
  }

  copy(from: number, to: number): void {
    this.bytes.set(this.#page(from), to);
  }

  sums(page: number, out: number): void {
    this.bytes.set(createHash("md5").update(this.#page(page)).digest(), out);
  }

  deltaEncode(base: number, page: number, out: number, limit: number): number {
    const delta: number[] = [];
    let at = 0;
    while (at < PAGE_BYTES) {
      const from = at;
      while (at < PAGE_BYTES && this.#xor(base, page, at) === 0) at += 1;
      if (at === PAGE_BYTES) break;
      const changed = at;
      while (at < PAGE_BYTES && this.#xor(base, page, at) !== 0) at += 1;
      for (const count of [changed - from, at - changed]) delta.push(count >> 8, count & 255);
      for (let byte = changed; byte < at; byte += 1) delta.push(this.#xor(base, page, byte));
      if (delta.length > limit) return 0;
    }
    if (delta.length > limit) return 0;
    this.bytes.set(delta, out);
    return delta.length;
  }

  deltaDecode(base: number, delta: number, length: number, out: number): boolean {
    this.copy(base, out);
    let at = 0;
    let read = 0;
    while (read < length) {
      if (read + 4 > length) return false;
      const view = new DataView(this.bytes.buffer, delta + read, 4);
      const [skip, count] = [view.getUint16(0), view.getUint16(2)];
      read += 4;
      at += skip;
      if (count === 0 || read + count > length || at + count > PAGE_BYTES) return false;
      for (let byte = 0; byte < count; byte += 1) {
        this.bytes[out + at + byte] =
          (this.bytes[base + at + byte] ?? 0) ^ (this.bytes[delta + read + byte] ?? 0);
      }
      read += count;
      at += count;
    }
    return true;
  }

  features(page: number, out: number): void {
    const words = new Uint32Array(this.bytes.buffer, out, FEATURES);
    for (const [index, place] of FEATURE_PLACES.entries()) {
      const block = this.bytes.slice(page + place, page + place + FEATURE_BYTES);
      const word = block.subarray(0, 4);
      const uniform = block.every((byte, at) => byte === word[at % 4]);
      words[index] = uniform ? 0 : createHash("md5").update(block).digest().readUInt32LE();
    }
  }

  wordClass(): 0 | 1 | 2 {
    return 2;
  }

  digest(sums: number, count: number, out: number): void {
    const all = this.bytes.subarray(sums, sums + count * SUMS_BYTES);
    this.bytes.set(createHash("md5").update(all).digest(), out);
  }

  #page(at: number): Uint8Array {
    if (at < 0 || at + PAGE_BYTES > this.bytes.byteLength) throw new RangeError(`page at ${at}`);
    return this.bytes.subarray(at, at + PAGE_BYTES);
  }

  #xor(base: number, page: number, at: number): number {
    return (this.bytes[base + at] ?? 0) ^ (this.bytes[page + at] ?? 0);
  }
}

export const slowKernels = (byteLength: number): Kernels => new SlowKernels(byteLength);
