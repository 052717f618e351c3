/** What both implementations of zstd share: how large an output has to be, and how a refusal reads. */
import { CodedError } from "../std/errors.ts";

/**
 * Beside the blocks: the end and checksum of the stream before, the header of the next (RFC 8878, 3.1.1: 7 and at most 18),
 * and room for blocks that are cut short by a flush.
 */
const OVERHEAD_BYTES = 512;

/** The most that so many bytes become; zstd's own bound grows by the same 1/256. */
export const compressBound = (bytes: number): number => bytes + (bytes >>> 8) + OVERHEAD_BYTES;

/** @throws RangeError: a stream whose output was cut off could not go on. */
export function checkRoom(inputBytes: number, output: Uint8Array): void {
  const needed = compressBound(inputBytes);
  if (output.length < needed) throw new RangeError(`${output.length} bytes of output; ${needed} are needed`);
}

export const refused = (host: string | undefined, why: string): CodedError =>
  new CodedError("PEER_GARBAGE", { host, problem: `zstd: ${why}` });

export const TOO_MUCH = "more came than was announced";

/** Keeps calls apart: a context is for one at a time, and is given back only when none runs. */
export class Turn {
  readonly #release: () => void;
  #busy = false;
  #closed = false;

  constructor(release: () => void) {
    this.#release = release;
  }

  async take<T>(work: () => Promise<T> | T): Promise<T> {
    if (this.#closed) throw new Error("zstd: used after it was closed");
    if (this.#busy) throw new Error("zstd: used while a call is under way");
    this.#busy = true;
    try {
      return await work();
    } finally {
      this.#busy = false;
      if (this.#closed) this.#release();
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (!this.#busy) this.#release();
  }

  get closed(): boolean {
    return this.#closed;
  }
}
