/**
 * One connection of the wire once both hellos are said: frames in, frames out, compressed in between. Decides in which
 * order they are written and when a cap allows it; numbers, credits and what frames mean are left to wire.ts.
 */
import type { Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { TLSSocket } from "node:tls";

import {
  Codec,
  type Coded,
  encodeFrame,
  type Frame,
  FRAME_HEADER_BYTES,
  type FrameCheck,
  plain,
  putHeader,
} from "../wire/frame.ts";
import { CodedError, toCodedError } from "../std/errors.ts";
import type { TokenBucket } from "./bucket.ts";
import { WINDOW_FRAMES } from "../wire/limits.ts";
import { refuse } from "../wire/refuse.ts";
import type { Inlet } from "./inlet.ts";
import { FRAME_BYTES_PER_SECOND_MIN, SILENT_MS, UNSENT_FRAMES_MAX } from "./limits.ts";
import { WRITE_BYTES, WRITE_BYTES_MIN, WRITE_CAPPED_MS } from "./limits.ts";
import type { PieceCompressor, PieceDecompressor } from "./codec.ts";
import { payloadOf } from "./slots.ts";

/** More are never under way, with the end, which needs no credit; and a few bytes may expand to a MiB each. */
const UNREAD_FRAMES_MAX = WINDOW_FRAMES + 1;

export interface StripeEvents {
  /** In this connection's order, expanded. `slot` holds its payload and is the receiver's to give back. */
  frame(frame: Frame, slot: Uint8Array | undefined): void;
  /** A numbered frame's size on the wire is known. */
  coded(number: number, measure: CodingMeasure): void;
  /** No more frames come from it; all that came was told. */
  ended(): void;
  failed(error: CodedError): void;
}

export interface CodingMeasure {
  readonly rawBytes: number;
  readonly wireBytes: number;
  /** How long the codec took; undefined when none was used. */
  readonly codecMs?: number;
}

export interface StripeParts {
  readonly socket: Socket;
  readonly inlet: Inlet;
  readonly crc32: FrameCheck;
  readonly compressor: PieceCompressor | undefined;
  readonly decompressor: PieceDecompressor;
  readonly bucket: TokenBucket;
  /**
   * Whether what comes counts against the cap as well: at the source only, which sends the less for it. If it counted at
   * the target too, a stream at the cap would leave its answers no room for ever.
   */
  readonly countsReceived: boolean;
}

export type MakeFrame = (coded: Coded) => Frame;

/** A numbered frame to be: its payload lies in `slot`, behind room for a header. */
export interface Outgoing {
  readonly number: number;
  readonly slot: Uint8Array;
  readonly bytes: number;
  readonly compress: boolean;
  readonly make: MakeFrame;
}

export class Stripe {
  readonly #parts: StripeParts;
  readonly #events: StripeEvents;
  #coding: Promise<void> = Promise.resolve();
  #writing: Promise<void> = Promise.resolve();
  #reading: Promise<void> = Promise.resolve();
  /** Frames that came and are not expanded. */
  #unread = 0;
  #ended = false;
  #unsent = 0;
  #lastFrameMs = performance.now();
  #bytesSinceFrame = 0;
  queuedBytes = 0;
  wireBytesIn = 0;
  wireBytesOut = 0;
  lastHeardMs: number;

  constructor(parts: StripeParts, events: StripeEvents) {
    this.#parts = parts;
    this.#events = events;
    this.lastHeardMs = performance.now();
  }

  /** Events come from here on, and not before. */
  start(): void {
    const { socket, inlet } = this.#parts;
    inlet.tell({
      hello: () => {},
      heard: (bytes) => this.#heard(bytes),
      frame: (frame, slot) => this.#frame(frame, slot),
      failed: (error) => this.#events.failed(toCodedError(error)),
    });
    if (socket instanceof TLSSocket) socket.on("data", (chunk: Buffer) => inlet.push(chunk));
    socket.on("end", () => this.#end());
    socket.on("close", () => this.#end());
    socket.on("error", () => this.#end());
    socket.resume();
  }

  /** The slot is this one's from here on. */
  send(outgoing: Outgoing): void {
    const { number, bytes } = outgoing;
    this.queuedBytes += bytes;
    this.#coding = this.#coding
      .then(async () => {
        const { slot, coded, codecMs } = await this.#code(outgoing);
        const frame = outgoing.make(coded);
        putHeader(slot, frame, this.#parts.crc32);
        const wireBytes = frame.payload.byteLength;
        const earlier = this.#writing;
        this.#write(slot.subarray(0, FRAME_HEADER_BYTES + wireBytes), slot);
        this.queuedBytes -= bytes;
        this.#events.coded(number, {
          rawBytes: bytes,
          wireBytes,
          ...(codecMs !== undefined && { codecMs }),
        });
        await earlier; // one frame is written while the next is compressed, and no more
      })
      .catch((error: unknown) => this.#events.failed(toCodedError(error)));
  }

  /** Outside the order: credits, pings, an abort. */
  sendNow(frame: Frame): void {
    if (this.#unsent >= UNSENT_FRAMES_MAX) {
      const problem = "more than anyone answers, while it takes no answer";
      return this.#events.failed(new CodedError("WIRE_GARBAGE", { problem }));
    }
    this.#write(Buffer.concat(encodeFrame(frame, this.#parts.crc32)));
  }

  /** Nothing comes, or so little that the frame which began will never be whole: pings alone are more. */
  isSilent(nowMs: number): boolean {
    if (nowMs - this.lastHeardMs >= SILENT_MS) return true;
    const passedMs = nowMs - this.#lastFrameMs;
    return passedMs >= SILENT_MS && this.#bytesSinceFrame * 1000 < FRAME_BYTES_PER_SECOND_MIN * passedMs;
  }

  /** Settles when all that was sent is with the kernel, or never will be. */
  async flushed(): Promise<void> {
    await this.#coding;
    await this.#writing;
  }

  async close(): Promise<void> {
    await this.flushed();
    const { socket } = this.#parts;
    if (socket.destroyed) return;
    await new Promise<void>((resolve) => {
      socket.once("close", resolve);
      socket.end(resolve);
    });
  }

  destroy(): void {
    this.#parts.socket.destroy();
    this.#parts.compressor?.close();
    this.#parts.decompressor.close();
  }

  async #code({
    slot,
    bytes,
    compress,
  }: Outgoing): Promise<{ slot: Uint8Array; coded: Coded; codecMs?: number }> {
    const { compressor, inlet } = this.#parts;
    const input = payloadOf(slot, bytes);
    if (!compress || compressor === undefined) return { slot, coded: plain(input) };
    const output = inlet.slots.take();
    const began = performance.now();
    const written = await compressor.compress(input, output.subarray(FRAME_HEADER_BYTES));
    const codecMs = performance.now() - began;
    inlet.slots.give(slot);
    const payload = payloadOf(output, written);
    return { slot: output, coded: { codec: Codec.zstdContinued, rawBytes: bytes, payload }, codecMs };
  }

  #write(bytes: Uint8Array, slot?: Uint8Array): void {
    this.#unsent += 1;
    this.#writing = this.#writing.then(async () => {
      this.#unsent -= 1;
      for (let at = 0; at < bytes.byteLength;) {
        const end = at + this.#pieceBytes(bytes.byteLength);
        await this.#writePiece(bytes.subarray(at, end));
        at = end;
      }
      if (slot !== undefined) this.#parts.inlet.slots.give(slot);
    });
  }

  /** Under a cap little pieces, so that it is smooth; else all at once. */
  #pieceBytes(allBytes: number): number {
    const rate = this.#parts.bucket.bytesPerSecond;
    if (rate === null) return allBytes;
    return Math.max(WRITE_BYTES_MIN, Math.min(WRITE_BYTES, Math.floor((rate * WRITE_CAPPED_MS) / 1000)));
  }

  async #writePiece(piece: Uint8Array): Promise<void> {
    const { socket, bucket } = this.#parts;
    for (;;) {
      if (socket.destroyed) return;
      const waitMs = bucket.waitMs(performance.now());
      if (waitMs === 0) break;
      await delay(waitMs);
    }
    bucket.spend(piece.byteLength);
    this.wireBytesOut += piece.byteLength;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        socket.off("close", done);
        resolve();
      };
      socket.once("close", done);
      socket.write(piece, done);
    });
  }

  #heard(bytes: number): void {
    this.lastHeardMs = performance.now();
    this.wireBytesIn += bytes;
    this.#bytesSinceFrame += bytes;
    if (this.#parts.countsReceived) this.#parts.bucket.spend(bytes);
  }

  #frame(frame: Frame, slot: Uint8Array | undefined): void {
    this.#lastFrameMs = this.lastHeardMs;
    this.#bytesSinceFrame = 0;
    if (frame.number === 0) return this.#events.frame(frame, slot);
    this.#unread += 1;
    if (this.#unread > UNREAD_FRAMES_MAX) refuse("more frames came than were asked for");
    this.#reading = this.#reading
      .then(async () => {
        if (frame.codec === Codec.none || slot === undefined) {
          this.#unread -= 1;
          this.#events.frame(frame, slot);
        } else {
          await this.#expand(frame, slot);
        }
      })
      .catch((error: unknown) => this.#events.failed(toCodedError(error)));
  }

  async #expand(frame: Frame, slot: Uint8Array): Promise<void> {
    if (frame.codec !== Codec.zstdContinued) {
      throw new CodedError("WIRE_GARBAGE", { problem: `codec ${frame.codec} was not agreed on` });
    }
    const { slots } = this.#parts.inlet;
    const output = slots.take();
    const payload = output.subarray(0, frame.rawBytes);
    await this.#parts.decompressor.expand(frame.payload, payload);
    slots.give(slot);
    this.#unread -= 1;
    // The codec stays, as what it was.
    this.#events.frame({ ...frame, payload }, output);
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    void this.#reading.then(() => this.#events.ended());
  }
}
