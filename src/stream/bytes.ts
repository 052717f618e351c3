/**
 * Big-endian numbers and names. Names are bytes to QEMU; here each byte is one character (ISO 8859-1), so that every
 * name comes back as it was.
 */
import { beyond, invalid } from "./faults.ts";

export const WORD_BYTES = 8;
const HIGH = 2 ** 32;
const TEXT_PIECE_BYTES = 4096;

export const u32At = (bytes: Uint8Array, at: number): number =>
  (((bytes[at] ?? 0) << 24) |
    ((bytes[at + 1] ?? 0) << 16) |
    ((bytes[at + 2] ?? 0) << 8) |
    (bytes[at + 3] ?? 0)) >>>
  0;

export const u64At = (bytes: Uint8Array, at: number): number =>
  u32At(bytes, at) * HIGH + u32At(bytes, at + 4);

export function putU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

export function putU64(bytes: Uint8Array, at: number, value: number): void {
  putU32(bytes, at, Math.floor(value / HIGH));
  putU32(bytes, at + 4, value % HIGH);
}

export function textAt(bytes: Uint8Array, from: number, to: number): string {
  let text = "";
  // One piece at a time: appended letter by letter, 16 MiB of description took 600 MiB.
  for (let at = from; at < to; at += TEXT_PIECE_BYTES) {
    text += String.fromCharCode(...bytes.subarray(at, Math.min(to, at + TEXT_PIECE_BYTES)));
  }
  return text;
}

/**
 * Reads one unit that may not be there whole yet. Reading past the end gives zeros and sets `short`; no check fails
 * once it is set, so that a unit is written down once, as a list of fields, and `short` asked at its end.
 */
export class Cursor {
  readonly bytes: Uint8Array;
  readonly #to: number;
  readonly #base: number;
  at: number;
  short = false;

  /** `base` is what to add to a position to get the offset in the whole stream. */
  constructor(bytes: Uint8Array, at: number, to: number, base: number) {
    this.bytes = bytes;
    this.at = at;
    this.#to = to;
    this.#base = base;
  }

  #take(count: number): number {
    const at = this.at;
    if (this.short || count > this.#to - at) this.short = true;
    else this.at = at + count;
    return at;
  }

  u8(): number {
    const at = this.#take(1);
    return this.short ? 0 : (this.bytes[at] ?? 0);
  }
  u16(): number {
    return this.u8() * 0x100 + this.u8();
  }
  u32(): number {
    const at = this.#take(4);
    return this.short ? 0 : u32At(this.bytes, at);
  }
  /** Exact up to 2^53; whoever needs less checks against a limit, so nothing inexact passes. */
  u64(): number {
    const at = this.#take(WORD_BYTES);
    return this.short ? 0 : u64At(this.bytes, at);
  }
  u64n(): bigint {
    return (BigInt(this.u32()) << 32n) | BigInt(this.u32());
  }
  text(length: number): string {
    const from = this.#take(length);
    return this.short ? "" : textAt(this.bytes, from, from + length);
  }
  str8(): string {
    return this.text(this.u8());
  }
  /** A name that QEMU never leaves empty. */
  name(what: string): string {
    const text = this.str8();
    this.expect(text !== "", `the name of ${what}`);
    return text;
  }
  copy(length: number): Uint8Array {
    const from = this.#take(length);
    return this.short ? new Uint8Array() : this.bytes.slice(from, from + length);
  }
  /** The next byte without taking it; undefined when it is not there yet. */
  peek(): number | undefined {
    return this.short || this.at >= this.#to ? undefined : this.bytes[this.at];
  }
  expect(holds: boolean, expected: string): void {
    if (!this.short && !holds) throw invalid(this.#base + this.at, expected);
  }
  limit(value: number, max: number, what: string): void {
    if (!this.short && value > max) throw beyond(this.#base + this.at, what, value, max);
  }
}

/** Collects the bytes of records; for tools and tests. */
export class Joiner {
  readonly #parts: Uint8Array[] = [];
  #length = 0;

  raw(bytes: Uint8Array): this {
    this.#parts.push(bytes);
    this.#length += bytes.length;
    return this;
  }
  u8(...values: readonly number[]): this {
    return this.raw(Uint8Array.from(values));
  }
  u16(value: number): this {
    return this.u8(value >>> 8, value & 0xff);
  }
  u32(value: number): this {
    const bytes = new Uint8Array(4);
    putU32(bytes, 0, value);
    return this.raw(bytes);
  }
  u64(value: number): this {
    const bytes = new Uint8Array(WORD_BYTES);
    putU64(bytes, 0, value);
    return this.raw(bytes);
  }
  u64n(value: bigint): this {
    return this.u32(Number(value >> 32n)).u32(Number(value & 0xffff_ffffn));
  }
  text(text: string): this {
    return this.raw(Uint8Array.from(text, (letter) => letter.charCodeAt(0)));
  }
  str8(text: string): this {
    return this.u8(text.length).text(text);
  }
  done(): Uint8Array {
    const all = new Uint8Array(this.#length);
    let at = 0;
    for (const part of this.#parts) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  }
}
