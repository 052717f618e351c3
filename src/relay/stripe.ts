/**
 * One connection of the wire once both hellos are said: frames in, frames out, compressed in between. Decides in which
 * order they are written and when a cap allows it; numbers, credits and what frames mean are left to wire.ts.
 */
import type { Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

import type { ByteQueue } from "../wire/byte-queue.ts";
import { Codec, type Coded, encodeFrame, type Frame, plain, tryReadFrame } from "../wire/frame.ts";
import { CodedError, toCodedError } from "../std/errors.ts";
import type { TokenBucket } from "./bucket.ts";
import { WRITE_BYTES } from "./limits.ts";
import { plainBytes, sha256 } from "./bytes.ts";
import type { PieceCompressor, PieceDecompressor } from "./codec.ts";

export interface StripeEvents {
  /** In this connection's order, expanded. */
  frame(frame: Frame): void;
  /** A numbered frame's size on the wire is known. */
  coded(number: number, rawBytes: number, wireBytes: number): void;
  /** No more frames come from it; all that came was told. */
  ended(): void;
  failed(error: CodedError): void;
}

export interface StripeParts {
  readonly socket: Socket;
  /** What came behind the hello. */
  readonly input: ByteQueue;
  readonly compressor: PieceCompressor | undefined;
  readonly decompressor: PieceDecompressor;
  readonly bucket: TokenBucket;
}

export type MakeFrame = (coded: Coded) => Frame;

export class Stripe {
  readonly #parts: StripeParts;
  readonly #events: StripeEvents;
  #coding: Promise<void> = Promise.resolve();
  #writing: Promise<void> = Promise.resolve();
  #reading: Promise<void> = Promise.resolve();
  #ended = false;
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
    const { socket } = this.#parts;
    socket.on("data", (chunk: Buffer) => this.#heard(chunk));
    socket.on("end", () => this.#end());
    socket.on("close", () => this.#end());
    socket.on("error", () => this.#end());
    socket.resume();
    this.#readFrames();
  }

  /** A numbered frame of these bytes; they must stay as they are. */
  send(number: number, parts: readonly Uint8Array[], compress: boolean, make: MakeFrame): void {
    const rawBytes = parts.reduce((sum, { byteLength }) => sum + byteLength, 0);
    this.queuedBytes += rawBytes;
    this.#coding = this.#coding.then(async () => {
      const frame = make(await this.#code(parts, rawBytes, compress));
      const earlier = this.#writing;
      this.#write(frame);
      this.queuedBytes -= rawBytes;
      this.#events.coded(number, rawBytes, frame.payload.byteLength);
      await earlier; // one frame is written while the next is compressed, and no more
    });
    this.#coding = this.#coding.catch((error: unknown) => this.#events.failed(toCodedError(error)));
  }

  /** Outside the order: credits, pings, an abort. */
  sendNow(frame: Frame): void {
    this.#write(frame);
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

  async #code(parts: readonly Uint8Array[], rawBytes: number, compress: boolean): Promise<Coded> {
    const { compressor } = this.#parts;
    if (!compress || compressor === undefined) {
      const [only] = parts;
      return plain(parts.length === 1 && only !== undefined ? only : Buffer.concat(parts));
    }
    return { codec: Codec.zstdContinued, rawBytes, payload: await compressor.compress(parts) };
  }

  #write(frame: Frame): void {
    const [header, payload] = encodeFrame(frame, sha256);
    this.#writing = this.#writing.then(async () => {
      const first = payload.subarray(0, WRITE_BYTES);
      await this.#writePiece(Buffer.concat([header, first]));
      for (let at = WRITE_BYTES; at < payload.byteLength; at += WRITE_BYTES) {
        await this.#writePiece(payload.subarray(at, at + WRITE_BYTES));
      }
    });
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

  #heard(chunk: Uint8Array): void {
    this.lastHeardMs = performance.now();
    this.wireBytesIn += chunk.byteLength;
    this.#parts.bucket.spend(chunk.byteLength);
    this.#parts.input.push(plainBytes(chunk));
    this.#readFrames();
  }

  #readFrames(): void {
    try {
      for (;;) {
        const frame = tryReadFrame(this.#parts.input, sha256);
        if (frame === undefined) return;
        if (frame.number === 0) this.#events.frame(frame);
        else this.#expand(frame);
      }
    } catch (error) {
      this.#events.failed(toCodedError(error));
    }
  }

  #expand(frame: Frame): void {
    this.#reading = this.#reading
      .then(async () => this.#events.frame(await this.#expanded(frame)))
      .catch((error: unknown) => this.#events.failed(toCodedError(error)));
  }

  async #expanded(frame: Frame): Promise<Frame> {
    if (frame.codec === Codec.none) return frame;
    if (frame.codec !== Codec.zstdContinued) {
      throw new CodedError("WIRE_GARBAGE", { problem: `codec ${frame.codec} was not agreed on` });
    }
    const payload = await this.#parts.decompressor.expand(frame.payload, frame.rawBytes);
    // The codec stays, as what it was.
    return { ...frame, payload };
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    void this.#reading.then(() => this.#events.ended());
  }
}
