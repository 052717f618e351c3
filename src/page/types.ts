/**
 * Kernels over 4 KiB pages. All pages live in one WebAssembly memory; positions are byte offsets in it.
 * Any will do; where many kernels meet a page, one aligned to 16 is a little faster. No kernel allocates, none keeps anything in the memory: it is all the caller's. Implemented in assembly/
 * (AssemblyScript, SIMD), checked against slow twins.
 */
export const PAGE_BYTES = 4096;

export interface Kernels {
  readonly memory: WebAssembly.Memory;
  /** View of the whole memory; made once, the memory never grows. */
  readonly bytes: Uint8Array;
  isZero(page: number): boolean;
  equal(one: number, other: number): boolean;
  copy(from: number, to: number): void;
  /**
   * 128 bits of hash at `out`, the first half in front: for finding candidates, where a match is always verified, and for
   * `digest`.
   */
  sums(page: number, out: number): void;
  /**
   * XOR run-length delta that turns `base` into `page`. Writes at most `limit` bytes at `out` and returns how many; 0
   * when it would not fit: the delta is not worth it.
   */
  deltaEncode(base: number, page: number, out: number, limit: number): number;
  /**
   * Rebuilds the page at `out` from `base` and a delta of `length` bytes; `out` may be `base`. False for a delta no encoder
   * makes, and then nothing was written.
   */
  deltaDecode(base: number, delta: number, length: number, out: number): boolean;
  /**
   * Similarity features: writes `FEATURES` u32 at `out`, hashes of fixed 64-byte blocks at pseudo-random places
   * (Gupta et al., Difference Engine, OSDI 2008). Pages that share one, at the same place, are worth a delta. 0 is no
   * feature: the block is one word over and over.
   */
  features(page: number, out: number): void;
  /** MECOM's class (Jin et al., CLUSTER 2009): 0 mostly zero bytes, 1 high word similarity, 2 low. */
  wordClass(page: number): 0 | 1 | 2;
  /** 128-bit digest over pages by their `sums`, one after the other, to check that what was restored is what was sent. */
  digest(sums: number, count: number, out: number): void;
}

export const FEATURES = 4;
export const SUMS_BYTES = 16;
