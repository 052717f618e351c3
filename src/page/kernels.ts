/**
 * The kernels over one memory. Decides how the module and its memory meet, and checks nothing per call: positions
 * are the caller's own. Who has the module's bytes from where is left to others (relay/kernels.ts reads the file).
 */
import { type Kernels, PAGE_BYTES } from "./types.ts";
import type { KernelImports } from "./webassembly.ts";

/** A position is 32 bits. */
export const MEMORY_BYTES_MAX = 2 ** 32;
/** WebAssembly's own page, the unit of a memory's size; sixteen of the guest's. */
const WASM_PAGE_BYTES = 65_536;

export type KernelMemory =
  /** A new memory with room for so many pages of 4 KiB. */
  | { readonly pages: number }
  /** One that is there already. */
  | { readonly memory: WebAssembly.Memory };

/** The module's exports; a `bool` is 0 or 1. */
interface Exports {
  readonly isZero: (page: number) => number;
  readonly equal: (one: number, other: number) => number;
  readonly copy: (from: number, to: number) => void;
  readonly sums: (page: number, out: number) => void;
  readonly deltaEncode: (base: number, page: number, out: number, limit: number) => number;
  readonly deltaDecode: (base: number, delta: number, length: number, out: number) => number;
  readonly features: (page: number, out: number) => void;
  readonly wordClass: (page: number) => 0 | 1 | 2;
  readonly digest: (sums: number, count: number, out: number) => void;
}

/** @throws RangeError when the memory asked for is larger than positions reach. */
export function loadKernels(wasm: Uint8Array<ArrayBuffer>, options: KernelMemory): Kernels {
  const memory = "memory" in options ? options.memory : newMemory(options.pages);
  const module = new WebAssembly.Module(wasm);
  const imports: KernelImports = { env: { memory } };
  const instance = new WebAssembly.Instance(module, imports);
  const kernels = instance.exports as unknown as Exports;
  return {
    memory,
    bytes: new Uint8Array(memory.buffer),
    isZero: (page) => kernels.isZero(page) === 1,
    equal: (one, other) => kernels.equal(one, other) === 1,
    copy: kernels.copy,
    sums: kernels.sums,
    deltaEncode: kernels.deltaEncode,
    deltaDecode: (base, delta, length, out) => kernels.deltaDecode(base, delta, length, out) === 1,
    features: kernels.features,
    wordClass: kernels.wordClass,
    digest: kernels.digest,
  };
}

function newMemory(pages: number): WebAssembly.Memory {
  const wasmPages = Math.ceil((pages * PAGE_BYTES) / WASM_PAGE_BYTES);
  if (!(wasmPages >= 1 && wasmPages * WASM_PAGE_BYTES <= MEMORY_BYTES_MAX)) {
    throw new RangeError(`a memory of ${pages} pages is not between one page and 4 GiB`);
  }
  // As large as it will ever be: growing would leave views behind. Not shared: V8 copies in and out of shared memory word
  // by word, and byte by byte where it is not aligned.
  return new WebAssembly.Memory({ initial: wasmPages, maximum: wasmPages });
}
