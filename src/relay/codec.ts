/**
 * One connection's compression: each direction is one zstd stream with a window, flushed at every frame, so that a frame
 * may refer to what the frames before it held. Sizes are checked here; which frames are compressed is left to others.
 */
import { refuse } from "../wire/refuse.ts";
import { WINDOW_LOG_MANY, WINDOW_LOG_ONE } from "./limits.ts";
import { makeCompressor, makeDecompressor } from "./zstd.ts";

export class PieceCompressor {
  readonly #zstd;

  constructor(level: number, connections: number) {
    const windowLog = connections === 1 ? WINDOW_LOG_ONE : WINDOW_LOG_MANY;
    this.#zstd = makeCompressor({ level, windowLog, longDistance: false });
  }

  setLevel(level: number): void {
    this.#zstd.setLevel(level);
  }

  /** One call at a time. `output` has room for the bound; says how much of it was needed. */
  compress(input: Uint8Array, output: Uint8Array): Promise<number> {
    return this.#zstd.write(input, output);
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
  async expand(payload: Uint8Array, output: Uint8Array): Promise<void> {
    const written = await this.#zstd.write(payload, output);
    if (written !== output.byteLength) refuse(`a frame of ${output.byteLength} bytes expands to ${written}`);
  }

  close(): void {
    this.#zstd.close();
  }
}
