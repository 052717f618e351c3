/**
 * What one connection of the wire hears: the hello, then frames. Decides where the socket's next bytes go: a plain socket
 * reads straight there, TLS hands over pieces that are copied. What is heard is left to link.ts and stripe.ts.
 */
import { ByteQueue } from "../wire/byte-queue.ts";
import type { Frame, FrameCheck } from "../wire/frame.ts";
import { FrameReader } from "../wire/frame-reader.ts";
import { type Hello, HELLO_BYTES, tryReadHello } from "../wire/hello.ts";
import { plainBytes, sha256 } from "./bytes.ts";
import type { OnRead } from "./qemu-socket.ts";
import type { Slots } from "./slots.ts";

export interface InletEvents {
  hello(hello: Hello): void;
  /** So many bytes came. */
  heard(bytes: number): void;
  /** As a FrameReader's. */
  frame(frame: Frame, slot: Uint8Array | undefined): void;
  /** What came is nothing that a relay says; nothing more is told then. */
  failed(error: unknown): void;
}

export class Inlet {
  readonly slots: Slots;
  readonly #reader: FrameReader;
  readonly #bytes = new Uint8Array(HELLO_BYTES);
  #helloBytes = 0;
  #events: InletEvents | undefined;
  #greeted = false;
  #dead = false;

  constructor(crc32: FrameCheck, slots: Slots) {
    this.slots = slots;
    this.#reader = new FrameReader(crc32, () => slots.take());
  }

  /** For a plain socket. Between the hello and the frames it stops, until `resume`. */
  get onread(): OnRead {
    return {
      buffer: () => (this.#greeted ? this.#reader.space : this.#bytes.subarray(this.#helloBytes)),
      callback: (count) => {
        const wasGreeted = this.#greeted;
        this.#took(count);
        return !this.#dead && this.#greeted === wasGreeted;
      },
    };
  }

  /** Who is told from here on. */
  tell(events: InletEvents): void {
    this.#events = events;
  }

  /** For a socket that says "data". What came behind the hello is not taken, and returned. */
  push(chunk: Uint8Array): Uint8Array {
    const bytes = plainBytes(chunk);
    if (this.#greeted) {
      this.#told(() => {
        this.#events?.heard(bytes.byteLength);
        this.#reader.push(bytes, (frame, slot) => this.#events?.frame(frame, slot));
      });
      return bytes.subarray(bytes.byteLength);
    }
    const part = bytes.subarray(0, HELLO_BYTES - this.#helloBytes);
    this.#bytes.set(part, this.#helloBytes);
    this.#took(part.byteLength);
    return bytes.subarray(part.byteLength);
  }

  #took(count: number): void {
    this.#told(() => {
      if (!this.#greeted) return this.#hello(count);
      this.#events?.heard(count);
      this.#reader.filled(count, (frame, slot) => this.#events?.frame(frame, slot));
    });
  }

  #hello(count: number): void {
    this.#helloBytes += count;
    const queue = new ByteQueue();
    queue.push(this.#bytes.subarray(0, this.#helloBytes));
    const hello = tryReadHello(queue, sha256);
    if (hello === undefined) return;
    this.#greeted = true;
    this.#events?.hello(hello);
  }

  #told(act: () => void): void {
    if (this.#dead) return;
    try {
      act();
    } catch (error) {
      this.#dead = true;
      this.#events?.failed(error);
    }
  }
}
