/**
 * The functions of zstd that Node's own binary exports, as calls, and what every call needs around it. Decides when a call
 * runs on another thread. Numbers are those of zstd.h 1.5.
 */
import { createRequire } from "node:module";

import type * as koffi from "koffi";

export const C_LEVEL = 100;
export const C_WINDOW_LOG = 101;
export const C_LONG_DISTANCE = 160;
export const C_CHECKSUM = 201;
export const D_WINDOW_LOG_MAX = 100;
export const FLUSH = 1;
export const END = 2;
export const VERSION_MIN = 10_500;

/**
 * A call on another thread costs 18 µs of its own on an idle host and milliseconds on a busy one, where the thread waits for
 * a core; zstd level 1 takes 0.1 ms for so much. Below are the batches of a post-copy.
 */
const ASYNC_BYTES_MIN = 48 * 1024;

export type Context = bigint;
type Call = ReturnType<koffi.LibraryHandle["func"]>;
export type Functions = ReturnType<typeof functions>;

export function functions() {
  const { load } = createRequire(import.meta.url)("koffi") as typeof koffi;
  // The program itself. By path, the system's libzstd would find Node's symbols in place of its own and break.
  const lib = load(null);
  const stream = "(void *c, void *out, size_t size, void *outAt, void *in, size_t inSize, void *inAt";
  return {
    version: lib.func("unsigned int ZSTD_versionNumber()") as () => number,
    isError: lib.func("unsigned int ZSTD_isError(size_t code)") as (code: number) => number,
    errorName: lib.func("const char *ZSTD_getErrorName(size_t code)") as (code: number) => string,
    createC: lib.func("void *ZSTD_createCCtx()") as () => Context | null,
    freeC: lib.func("size_t ZSTD_freeCCtx(void *c)") as (c: Context) => number,
    sizeofC: lib.func("size_t ZSTD_sizeof_CCtx(void *c)") as (c: Context) => number,
    setC: lib.func("size_t ZSTD_CCtx_setParameter(void *c, int parameter, int value)") as SetParameter,
    createD: lib.func("void *ZSTD_createDCtx()") as () => Context | null,
    freeD: lib.func("size_t ZSTD_freeDCtx(void *c)") as (c: Context) => number,
    sizeofD: lib.func("size_t ZSTD_sizeof_DCtx(void *c)") as (c: Context) => number,
    setD: lib.func("size_t ZSTD_DCtx_setParameter(void *c, int parameter, int value)") as SetParameter,
    compressStream: lib.func(`size_t ZSTD_compressStream2_simpleArgs${stream}, int end)`),
    decompressStream: lib.func(`size_t ZSTD_decompressStream_simpleArgs${stream})`),
    compress: lib.func("size_t ZSTD_compress2(void *c, void *out, size_t size, void *in, size_t inSize)"),
    decompress: lib.func(
      "size_t ZSTD_decompressDCtx(void *c, void *out, size_t size, void *in, size_t inSize)",
    ),
  };
}

type SetParameter = (c: Context, parameter: number, value: number) => number;

/** A size_t is a number here while it is safe as one; error codes are near 2^64 and come as bigint. */
export type Size = number | bigint;

export const call = (run: Call, bytes: number, ...args: readonly unknown[]): Promise<Size> | Size =>
  bytes < ASYNC_BYTES_MIN
    ? (run(...args) as Size)
    : new Promise((resolve, reject) => {
        run.async(...args, (error: unknown, result: Size) => {
          if (error === null || error === undefined) resolve(result);
          else reject(error instanceof Error ? error : new Error("zstd: the call failed"));
        });
      });

/** Two size_t that zstd moves forward. */
export class Positions {
  readonly #values = new BigUint64Array(2);
  readonly out = new Uint8Array(this.#values.buffer, 0, 8);
  readonly in = new Uint8Array(this.#values.buffer, 8, 8);

  reset(): void {
    this.#values.fill(0n);
  }
  get written(): number {
    return Number(this.#values[0]);
  }
  set written(bytes: number) {
    this.#values[0] = BigInt(bytes);
  }
  get read(): number {
    return Number(this.#values[1]);
  }
}

export const NOTHING = new Uint8Array(1);

/** Frees a context that nobody closed, when its owner is gone. */
export const forgotten = new FinalizationRegistry<() => void>((free) => free());

export function context(z: Functions, kind: "C" | "D"): { readonly c: Context; readonly free: () => void } {
  const c = kind === "C" ? z.createC() : z.createD();
  if (c === null) throw new Error("zstd: no memory for a context");
  return { c, free: () => void (kind === "C" ? z.freeC(c) : z.freeD(c)) };
}

/** The result, or the error it stands for. */
export function checked(z: Functions, code: Size): number {
  if (z.isError(code as number) !== 0) throw new Error(`zstd: ${z.errorName(code as number)}`);
  return Number(code);
}
