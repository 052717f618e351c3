/** Unsigned little-endian base-128 numbers below 2^32, and signed ones folded onto them; read with every check. */
import { ULEB_BYTES_MAX } from "./limits.ts";
import { refuse } from "./refuse.ts";

/** 0, -1, 1, -2, … → 0, 1, 2, 3, … */
export const fold = (value: number): number => (value < 0 ? -2 * value - 1 : 2 * value);
export const unfold = (value: number): number => (value % 2 === 0 ? value / 2 : -(value + 1) / 2);

/** A column being written; its owner sees to it that it is long enough. */
export class ColumnWriter {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytesMax: number) {
    this.#bytes = new Uint8Array(bytesMax);
  }

  get written(): Uint8Array {
    return this.#bytes.subarray(0, this.#at);
  }

  clear(): void {
    this.#at = 0;
  }

  byte(value: number): void {
    this.#bytes[this.#at] = value;
    this.#at += 1;
  }

  uleb(value: number): void {
    let rest = value;
    for (; rest >= 128; rest = Math.floor(rest / 128)) this.byte((rest % 128) + 128);
    this.byte(rest);
  }
}

export class ColumnReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get done(): boolean {
    return this.#at === this.#bytes.byteLength;
  }

  byte(): number {
    const value = this.#bytes[this.#at];
    if (value === undefined) return refuse("a batch's column ends too early");
    this.#at += 1;
    return value;
  }

  uleb(): number {
    let value = 0;
    for (let index = 0; index < ULEB_BYTES_MAX; index += 1) {
      const byte = this.byte();
      value += (byte % 128) * 128 ** index;
      if (byte < 128) return value < 2 ** 32 ? value : refuse("a number of a batch is too large");
    }
    return refuse("a number of a batch has no end");
  }
}
