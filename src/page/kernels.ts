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

/** Compiled once for all memories: code that V8 has optimized belongs to the module. */
export const kernelsModule = (wasm: Uint8Array<ArrayBuffer>): WebAssembly.Module =>
  new WebAssembly.Module(wasm);

/** @throws RangeError when the memory asked for is larger than positions reach. */
export function loadKernels(module: WebAssembly.Module, options: KernelMemory): Kernels {
  const memory = "memory" in options ? options.memory : newMemory(options.pages);
  const imports: KernelImports = { env: { memory } };
  const instance = new WebAssembly.Instance(module, imports);
  return new Loaded(memory, instance.exports as unknown as Exports);
}

/**
 * A class, and its functions one by one: an instance's exports are an object of a shape of its own, and what V8 had compiled for
 * one of them would be thrown away at the next.
 */
class Loaded implements Kernels {
  readonly memory: WebAssembly.Memory;
  readonly bytes: Uint8Array;
  readonly copy: Kernels["copy"];
  readonly sums: Kernels["sums"];
  readonly deltaEncode: Kernels["deltaEncode"];
  readonly features: Kernels["features"];
  readonly wordClass: Kernels["wordClass"];
  readonly digest: Kernels["digest"];
  readonly #isZero: Exports["isZero"];
  readonly #equal: Exports["equal"];
  readonly #deltaDecode: Exports["deltaDecode"];

  constructor(memory: WebAssembly.Memory, exports: Exports) {
    this.memory = memory;
    this.bytes = new Uint8Array(memory.buffer);
    this.copy = exports.copy;
    this.sums = exports.sums;
    this.deltaEncode = exports.deltaEncode;
    this.features = exports.features;
    this.wordClass = exports.wordClass;
    this.digest = exports.digest;
    this.#isZero = exports.isZero;
    this.#equal = exports.equal;
    this.#deltaDecode = exports.deltaDecode;
  }

  isZero(page: number): boolean {
    return this.#isZero(page) === 1;
  }

  equal(one: number, other: number): boolean {
    return this.#equal(one, other) === 1;
  }

  deltaDecode(base: number, delta: number, length: number, out: number): boolean {
    return this.#deltaDecode(base, delta, length, out) === 1;
  }
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
