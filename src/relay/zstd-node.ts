/**
 * zstd by node:zlib alone: slower, but it needs nothing that is not promised. The same bytes on the wire as zstd-native.ts, so
 * either side may have either.
 */
import { promisify } from "node:util";
import * as zlib from "node:zlib";

import type { Compressor, CompressorOptions, Decompressor, FrameCodec, Zstd } from "./zstd.ts";
import { checkRoom, refused, TOO_MUCH, Turn } from "./zstd-bound.ts";

const {
  ZSTD_c_compressionLevel,
  ZSTD_c_windowLog,
  ZSTD_c_enableLongDistanceMatching,
  ZSTD_c_checksumFlag,
  ZSTD_d_windowLogMax,
  ZSTD_e_flush,
} = zlib.constants;

const compressOnce = promisify(zlib.zstdCompress);
const decompressOnce = promisify(zlib.zstdDecompress);

/** node:zlib takes -1 for "not set"; the level beside it is the nearest there is. */
const levelFor = (level: number): number => (level === -1 ? -2 : level);

/** Bytes put one after another into the output of the call under way. */
class Sink {
  #output = new Uint8Array(0);
  written = 0;
  overflowed = false;

  begin(output: Uint8Array): void {
    this.#output = output as Uint8Array<ArrayBuffer>;
    this.written = 0;
  }
  put(bytes: Uint8Array): void {
    if (this.written + bytes.length > this.#output.length) this.overflowed = true;
    else this.#output.set(bytes, this.written);
    this.written += bytes.length;
  }
}

type Stream = zlib.ZstdCompress | zlib.ZstdDecompress;

/** Settles with the callback, or with the stream's end by error or destruction if that comes first. */
const until = (stream: Stream, act: (done: () => void) => void): Promise<void> =>
  new Promise((resolve, reject) => {
    const settle = (error?: Error): void => {
      stream.off("error", settle).off("close", closed);
      if (error === undefined) resolve();
      else reject(error);
    };
    const closed = (): void => settle();
    stream.on("error", settle).on("close", closed);
    act(() => settle());
  });

class NodeCompressor implements Compressor {
  readonly #options: CompressorOptions;
  readonly #sink = new Sink();
  readonly #turn = new Turn(() => this.#stream?.destroy());
  #level: number;
  #levelNow: number;
  #stream: zlib.ZstdCompress | null = null;

  constructor(options: CompressorOptions) {
    this.#options = options;
    this.#level = this.#levelNow = options.level;
  }

  write(input: Uint8Array, output: Uint8Array): Promise<number> {
    return this.#turn.take(async () => {
      checkRoom(input.length, output);
      this.#sink.begin(output);
      if (this.#level !== this.#levelNow) await this.#end();
      this.#levelNow = this.#level;
      const stream = (this.#stream ??= this.#begin());
      await until(stream, (done) => {
        stream.write(input);
        stream.flush(ZSTD_e_flush, done);
      });
      return this.#sink.written;
    });
  }

  end(output: Uint8Array): Promise<number> {
    return this.#turn.take(async () => {
      checkRoom(0, output);
      this.#sink.begin(output);
      await this.#end();
      return this.#sink.written;
    });
  }

  #begin(): zlib.ZstdCompress {
    const { windowLog, longDistance } = this.#options;
    const stream = zlib.createZstdCompress({
      params: {
        [ZSTD_c_compressionLevel]: levelFor(this.#levelNow),
        [ZSTD_c_windowLog]: windowLog,
        [ZSTD_c_enableLongDistanceMatching]: longDistance ? 1 : 0,
        [ZSTD_c_checksumFlag]: 1,
      },
    });
    stream.on("data", (bytes: Buffer) => this.#sink.put(bytes));
    stream.on("error", () => undefined);
    return stream;
  }

  async #end(): Promise<void> {
    const stream = this.#stream;
    if (stream === null) return;
    this.#stream = null;
    await until(stream, (done) => {
      stream.once("end", done);
      stream.end();
    });
  }

  setLevel(level: number): void {
    this.#level = level;
  }
  memoryBytes(): null {
    return null;
  }
  close(): void {
    this.#turn.close();
  }
}

class NodeDecompressor implements Decompressor {
  readonly #windowLogMax: number;
  readonly #host: string | undefined;
  readonly #sink = new Sink();
  readonly #turn = new Turn(() => this.#stream?.destroy());
  #stream: zlib.ZstdDecompress | null = null;
  #failed = false;

  constructor(windowLogMax: number, host: string | undefined) {
    this.#windowLogMax = windowLogMax;
    this.#host = host;
  }

  write(input: Uint8Array, output: Uint8Array): Promise<number> {
    return this.#turn.take(async () => {
      if (this.#failed) throw refused(this.#host, "the stream was refused before");
      this.#sink.begin(output);
      try {
        await this.#decode(input);
      } catch (error) {
        this.#failed = true;
        this.#stream?.destroy();
        throw refused(this.#host, error instanceof Error ? error.message : String(error));
      }
      return this.#sink.written;
    });
  }

  /** Node's stream ends where a frame does when more follows; what it left is another stream's. */
  async #decode(input: Uint8Array): Promise<void> {
    let rest = input;
    while (rest.length > 0) {
      const stream = (this.#stream ??= this.#begin());
      const before = stream.bytesWritten;
      let ended = false;
      await until(stream, (done) => {
        const end = (): void => {
          ended = true;
          done();
        };
        stream.once("end", end);
        stream.write(rest, () => {
          stream.off("end", end);
          done();
        });
      });
      if (this.#sink.overflowed) throw new Error(TOO_MUCH);
      if (!ended) return;
      this.#stream = null;
      const taken = stream.bytesWritten - before;
      if (taken === 0) throw new Error("the stream stands still");
      rest = rest.subarray(taken);
    }
  }

  #begin(): zlib.ZstdDecompress {
    const stream = zlib.createZstdDecompress({ params: { [ZSTD_d_windowLogMax]: this.#windowLogMax } });
    stream.on("data", (bytes: Buffer) => {
      this.#sink.put(bytes);
      if (this.#sink.overflowed) stream.destroy();
    });
    // Also where nobody waits any more: an error nobody listens to would end the process.
    stream.on("error", () => undefined);
    return stream;
  }

  memoryBytes(): null {
    return null;
  }
  close(): void {
    this.#turn.close();
  }
}

class NodeFrames implements FrameCodec {
  readonly #host: string | undefined;
  readonly #turn = new Turn(() => undefined);
  #level: number;

  constructor(level: number, host: string | undefined) {
    this.#level = level;
    this.#host = host;
  }

  compress(input: Uint8Array, output: Uint8Array): Promise<number> {
    return this.#turn.take(async () => {
      checkRoom(input.length, output);
      const bytes = await compressOnce(input, {
        params: { [ZSTD_c_compressionLevel]: levelFor(this.#level), [ZSTD_c_checksumFlag]: 1 },
      });
      output.set(bytes);
      return bytes.length;
    });
  }

  decompress(input: Uint8Array, output: Uint8Array): Promise<number> {
    return this.#turn.take(async () => {
      // Zero stands for no limit there.
      const maxOutputLength = Math.max(1, output.length);
      const bytes = await decompressOnce(input, { maxOutputLength }).catch((error: unknown) => {
        throw refused(this.#host, error instanceof Error ? error.message : String(error));
      });
      if (bytes.length > output.length) throw refused(this.#host, TOO_MUCH);
      output.set(bytes);
      return bytes.length;
    });
  }

  setLevel(level: number): void {
    this.#level = level;
  }
  close(): void {
    this.#turn.close();
  }
}

export const nodeZstd: Zstd = {
  name: "node",
  makeCompressor: (options) => new NodeCompressor(options),
  makeDecompressor: ({ windowLogMax, host }) => new NodeDecompressor(windowLogMax, host),
  makeFrameCodec: ({ level, host }) => new NodeFrames(level, host),
};
