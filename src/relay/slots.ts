/**
 * Memory for one frame each, used again and again: what a relay holds is then what was under way at its fullest, and
 * neither allocation nor collection is paid for each frame. Whoever takes a slot gives it back or lets it go.
 */
import { FRAME_HEADER_BYTES } from "../wire/frame.ts";
import { FRAME_SLOT_BYTES } from "../wire/frame-reader.ts";
import { compressBound } from "./zstd.ts";

/** Outgoing, a payload lies behind its header; compressed it may be longer than it was. */
export const SLOT_BYTES = FRAME_HEADER_BYTES + compressBound(FRAME_SLOT_BYTES);

/** Of sides that are over: the next in this process takes them (a rehearsal's, rehearsal.ts). */
const left: Uint8Array[] = [];

export class Slots {
  #free: Uint8Array[] = [];
  #made = 0;

  /** How many there are, in use or not. */
  get made(): number {
    return this.#made;
  }

  take(): Uint8Array {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    this.#made += 1;
    return left.pop() ?? makeSlot();
  }

  give(slot: Uint8Array): void {
    this.#free.push(slot);
  }

  /** Nobody takes one any more; those that are out are let go. */
  close(): void {
    left.push(...this.#free.splice(0));
  }
}

/** Not cleared, so that only what is written to becomes resident; what is read was written before. */
const makeSlot = (): Uint8Array => new Uint8Array(Buffer.allocUnsafeSlow(SLOT_BYTES).buffer);

/** Where an outgoing slot's payload is. */
export const payloadOf = (slot: Uint8Array, bytes: number): Uint8Array =>
  slot.subarray(FRAME_HEADER_BYTES, FRAME_HEADER_BYTES + bytes);
