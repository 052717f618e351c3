/**
 * One connection's compression: each direction is one zstd stream with a long window, flushed at every frame, so that a
 * frame may refer to what the frames before it held. Sizes are checked here; which frames are compressed is left to others.
 */
import { refuse } from "../wire/refuse.ts";
import { WINDOW_LOG_MANY, WINDOW_LOG_ONE } from "./limits.ts";
import { compressBound, makeCompressor, makeDecompressor } from "./zstd.ts";

export class PieceCompressor {
  readonly #zstd;
  #out = new Uint8Array(0);

  constructor(level: number, connections: number) {
    const windowLog = connections === 1 ? WINDOW_LOG_ONE : WINDOW_LOG_MANY;
    this.#zstd = makeCompressor({ level, windowLog, longDistance: true });
  }

  /** One call at a time. */
  async compress(parts: readonly Uint8Array[]): Promise<Uint8Array> {
    const input = Buffer.concat(parts);
    const bound = compressBound(input.length);
    if (this.#out.length < bound) this.#out = new Uint8Array(bound);
    const written = await this.#zstd.write(input, this.#out);
    return this.#out.slice(0, written);
  }

  close(): void {
    this.#zstd.close();
  }
}

export class PieceDecompressor {
  readonly #zstd;

  constructor(host: string) {
    this.#zstd = makeDecompressor({ windowLogMax: WINDOW_LOG_ONE, host });
  }

  /** One call at a time. @throws CodedError PEER_GARBAGE, WIRE_GARBAGE */
  async expand(payload: Uint8Array, rawBytes: number): Promise<Uint8Array> {
    const out = new Uint8Array(rawBytes);
    const written = await this.#zstd.write(payload, out);
    return written === rawBytes ? out : refuse(`a frame of ${rawBytes} bytes expands to ${written}`);
  }

  close(): void {
    this.#zstd.close();
  }
}
