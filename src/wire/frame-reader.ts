/**
 * Frames out of bytes as they come. Says where the next bytes are to be put, and never asks for more than a frame and the
 * header behind it: so a payload lies in one piece where it was read to, and nothing is copied. Whose the memory is, and
 * when it is free again, is the caller's to decide.
 */
import {
  checkedFrame,
  type Frame,
  FRAME_HEADER_BYTES,
  type FrameCheck,
  type FrameHeader,
  isNumbered,
  readHeader,
  UNNUMBERED_BYTES_MAX,
} from "./frame.ts";
import { FRAME_PAYLOAD_BYTES_MAX } from "./limits.ts";

/** What a slot has room for at least: the longest payload, and a header behind it. */
export const FRAME_SLOT_BYTES = FRAME_PAYLOAD_BYTES_MAX + FRAME_HEADER_BYTES;

/** `slot` holds the payload and is the caller's; without one the payload is good until this returns. */
export type FoundFrame = (frame: Frame, slot: Uint8Array | undefined) => void;

export class FrameReader {
  readonly #crc32: FrameCheck;
  readonly #takeSlot: () => Uint8Array;
  readonly #header = new Uint8Array(FRAME_HEADER_BYTES);
  /** For frames outside the order, which are handled at once. */
  readonly #small = new Uint8Array(UNNUMBERED_BYTES_MAX + FRAME_HEADER_BYTES);
  #known: FrameHeader | undefined;
  #slot: Uint8Array | undefined;
  #filled = 0;

  constructor(crc32: FrameCheck, takeSlot: () => Uint8Array) {
    this.#crc32 = crc32;
    this.#takeSlot = takeSlot;
  }

  /** Where the next bytes go. Never empty. */
  get space(): Uint8Array {
    if (this.#known === undefined) return this.#header.subarray(this.#filled);
    const into = this.#slot ?? this.#small;
    return into.subarray(this.#filled, this.#known.payloadBytes + FRAME_HEADER_BYTES);
  }

  /** So many bytes were put there. @throws CodedError WIRE_GARBAGE, WIRE_DAMAGED */
  filled(count: number, found: FoundFrame): void {
    this.#filled += count;
    for (;;) {
      if (this.#known === undefined) {
        if (this.#filled < FRAME_HEADER_BYTES) return;
        this.#known = readHeader(this.#header);
        this.#slot =
          isNumbered(this.#known.kind) && this.#known.payloadBytes > 0 ? this.#takeSlot() : undefined;
        this.#filled = 0;
      }
      const known = this.#known;
      if (this.#filled < known.payloadBytes) return;
      const slot = this.#slot;
      const bytes = slot ?? this.#small;
      const frame = checkedFrame(known, this.#header, bytes.subarray(0, known.payloadBytes), this.#crc32);
      this.#header.set(bytes.subarray(known.payloadBytes, this.#filled));
      this.#filled -= known.payloadBytes;
      this.#known = undefined;
      this.#slot = undefined;
      found(frame, slot);
    }
  }

  /** The same for bytes that lie elsewhere. */
  push(bytes: Uint8Array, found: FoundFrame): void {
    for (let at = 0; at < bytes.byteLength;) {
      const { space } = this;
      const part = bytes.subarray(at, at + space.byteLength);
      space.set(part);
      at += part.byteLength;
      this.filled(part.byteLength, found);
    }
  }
}
