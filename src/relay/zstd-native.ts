/**
 * The zstd inside Node, called directly. Node exports its symbols but does not promise them, so that nothing here is used
 * before it has compressed and decoded something in this process; where that fails there is zstd-node.ts.
 */
import type { Compressor, CompressorOptions, Decompressor, FrameCodec, Zstd } from "./zstd.ts";
import { checkRoom, compressBound, refused, TOO_MUCH, Turn } from "./zstd-bound.ts";

import {
  C_CHECKSUM,
  C_LEVEL,
  C_LONG_DISTANCE,
  C_WINDOW_LOG,
  call,
  checked,
  context,
  type Context,
  D_WINDOW_LOG_MAX,
  END,
  FLUSH,
  forgotten,
  functions,
  type Functions,
  NOTHING,
  Positions,
  type Size,
  VERSION_MIN,
} from "./zstd-symbols.ts";

class NativeCompressor implements Compressor {
  readonly #z: Functions;
  readonly #c: Context;
  readonly #turn: Turn;
  readonly #at = new Positions();
  #level: number;
  #levelNow: number;
  /** Whether a stream has begun and not ended. */
  #open = false;

  constructor(z: Functions, options: CompressorOptions) {
    this.#z = z;
    const { c, free } = context(z, "C");
    this.#c = c;
    this.#turn = new Turn(() => {
      forgotten.unregister(this);
      free();
    });
    forgotten.register(this, free, this);
    this.#level = this.#levelNow = options.level;
    checked(z, z.setC(c, C_LEVEL, options.level));
    checked(z, z.setC(c, C_WINDOW_LOG, options.windowLog));
    checked(z, z.setC(c, C_LONG_DISTANCE, options.longDistance ? 1 : 0));
    checked(z, z.setC(c, C_CHECKSUM, 1));
  }

  write(input: Uint8Array, output: Uint8Array): Promise<number> {
    return this.#turn.take(async () => {
      checkRoom(input.length, output);
      this.#at.reset();
      if (this.#level !== this.#levelNow) await this.#nextLevel(output);
      await this.#run(input, output, FLUSH);
      this.#open = true;
      return this.#at.written;
    });
  }

  end(output: Uint8Array): Promise<number> {
    return this.#turn.take(async () => {
      checkRoom(0, output);
      this.#at.reset();
      if (this.#open) await this.#run(NOTHING.subarray(0, 0), output, END);
      this.#open = false;
      return this.#at.written;
    });
  }

  async #nextLevel(output: Uint8Array): Promise<void> {
    if (this.#open) await this.#run(NOTHING.subarray(0, 0), output, END);
    this.#levelNow = this.#level;
    checked(this.#z, this.#z.setC(this.#c, C_LEVEL, this.#level));
  }

  async #run(input: Uint8Array, output: Uint8Array, end: number): Promise<void> {
    const { out, in: inAt } = this.#at;
    const from = input.length === 0 ? NOTHING : input;
    const args = [this.#c, output, output.length, out, from, input.length, inAt, end];
    const left = checked(this.#z, await call(this.#z.compressStream, input.length, ...args));
    // With room for the bound one call does all of it (zstd.h, ZSTD_compressStream2).
    if (left !== 0) throw new Error(`zstd: ${left} bytes did not fit`);
  }

  setLevel(level: number): void {
    this.#level = level;
  }
  memoryBytes(): number | null {
    return this.#turn.closed ? null : this.#z.sizeofC(this.#c);
  }
  close(): void {
    this.#turn.close();
  }
}

class NativeDecompressor implements Decompressor {
  readonly #z: Functions;
  readonly #c: Context;
  readonly #host: string | undefined;
  readonly #turn: Turn;
  readonly #at = new Positions();
  readonly #beyond = new Uint8Array(1);
  #failed = false;

  constructor(z: Functions, windowLogMax: number, host: string | undefined) {
    this.#z = z;
    this.#host = host;
    const { c, free } = context(z, "D");
    this.#c = c;
    this.#turn = new Turn(() => {
      forgotten.unregister(this);
      free();
    });
    forgotten.register(this, free, this);
    checked(z, z.setD(c, D_WINDOW_LOG_MAX, windowLogMax));
  }

  write(input: Uint8Array, output: Uint8Array): Promise<number> {
    return this.#turn.take(async () => {
      if (this.#failed) throw refused(this.#host, "the stream was refused before");
      try {
        return await this.#decode(input, output);
      } catch (error) {
        this.#failed = true;
        throw error;
      }
    });
  }

  async #decode(input: Uint8Array, output: Uint8Array): Promise<number> {
    const at = this.#at;
    at.reset();
    // Once for each frame that ends within the piece, and once more.
    while (at.read < input.length) {
      const [read, written] = [at.read, at.written];
      if (written === output.length) break;
      await this.#step(input, output);
      if (at.read === read && at.written === written) throw refused(this.#host, "the stream stands still");
    }
    const decoded = at.written;
    // What does not fit waits inside the context; one byte of it is seen here.
    at.written = 0;
    if (decoded === output.length) await this.#step(input, this.#beyond);
    if (at.read < input.length || at.written > 0) throw refused(this.#host, TOO_MUCH);
    return decoded;
  }

  async #step(input: Uint8Array, output: Uint8Array): Promise<void> {
    const { out, in: inAt } = this.#at;
    const from = input.length === 0 ? NOTHING : input;
    const to = output.length === 0 ? NOTHING : output;
    const args = [this.#c, to, output.length, out, from, input.length, inAt];
    const bytes = output === this.#beyond ? 0 : output.length;
    const code = await call(this.#z.decompressStream, bytes, ...args);
    if (this.#z.isError(code as number) !== 0) throw refused(this.#host, this.#z.errorName(code as number));
  }

  memoryBytes(): number | null {
    return this.#turn.closed ? null : this.#z.sizeofD(this.#c);
  }
  close(): void {
    this.#turn.close();
  }
}

class NativeFrames implements FrameCodec {
  readonly #z: Functions;
  readonly #c: Context;
  readonly #d: Context;
  readonly #host: string | undefined;
  readonly #turn: Turn;
  #level: number;

  constructor(z: Functions, level: number, host: string | undefined) {
    this.#z = z;
    this.#host = host;
    const compressing = context(z, "C");
    const decompressing = context(z, "D");
    this.#c = compressing.c;
    this.#d = decompressing.c;
    const free = (): void => {
      compressing.free();
      decompressing.free();
    };
    this.#turn = new Turn(() => {
      forgotten.unregister(this);
      free();
    });
    forgotten.register(this, free, this);
    checked(z, z.setC(this.#c, C_CHECKSUM, 1));
    this.#level = level;
  }

  compress(input: Uint8Array, output: Uint8Array): Promise<number> {
    return this.#turn.take(async () => {
      checkRoom(input.length, output);
      checked(this.#z, this.#z.setC(this.#c, C_LEVEL, this.#level));
      const from = input.length === 0 ? NOTHING : input;
      const args = [this.#c, output, output.length, from, input.length];
      return checked(this.#z, await call(this.#z.compress, input.length, ...args));
    });
  }

  decompress(input: Uint8Array, output: Uint8Array): Promise<number> {
    return this.#turn.take(async () => {
      const from = input.length === 0 ? NOTHING : input;
      const to = output.length === 0 ? NOTHING : output;
      const args = [this.#d, to, output.length, from, input.length];
      const code = await call(this.#z.decompress, output.length, ...args);
      if (this.#z.isError(code as number) !== 0) throw refused(this.#host, this.#z.errorName(code as number));
      return Number(code);
    });
  }

  setLevel(level: number): void {
    this.#level = level;
  }
  close(): void {
    this.#turn.close();
  }
}

/** Null where Node's zstd cannot be reached or does not do what its header says. */
export function nativeZstd(): Zstd | null {
  try {
    const z = functions();
    if (z.version() < VERSION_MIN || !worksHere(z)) return null;
    return {
      name: "native",
      makeCompressor: (options) => new NativeCompressor(z, options),
      makeDecompressor: ({ windowLogMax, host }) => new NativeDecompressor(z, windowLogMax, host),
      makeFrameCodec: ({ level, host }) => new NativeFrames(z, level, host),
    };
  } catch {
    return null;
  }
}

/** One flushed piece there and back, without waiting: the symbols, their arguments and the numbers above are right. */
function worksHere(z: Functions): boolean {
  const input = Uint8Array.from({ length: 4096 }, (_, at) => (at * at) >> 12);
  const packed = new Uint8Array(new SharedArrayBuffer(compressBound(input.length)));
  const output = new Uint8Array(input.length);
  const [compressing, decompressing] = [context(z, "C"), context(z, "D")];
  try {
    for (const [parameter, value] of [
      [C_LEVEL, 1],
      [C_WINDOW_LOG, 20],
      [C_LONG_DISTANCE, 1],
      [C_CHECKSUM, 1],
    ] as const) {
      checked(z, z.setC(compressing.c, parameter, value));
    }
    checked(z, z.setD(decompressing.c, D_WINDOW_LOG_MAX, 20));
    const at = new Positions();
    const one = [compressing.c, packed, packed.length, at.out, input, input.length, at.in, FLUSH];
    checked(z, z.compressStream(...one) as Size);
    const { written } = at;
    at.reset();
    const two = [decompressing.c, output, output.length, at.out, packed, written, at.in];
    checked(z, z.decompressStream(...two) as Size);
    return written < input.length && at.read === written && Buffer.from(output).equals(input);
  } finally {
    compressing.free();
    decompressing.free();
  }
}
