/**
 * QEMU's bytes as they come, in one fixed stretch of memory: reads land in its second part, and what a read cut off at
 * its end moves in front of the next. While nobody wants more nothing is read, so that QEMU feels the link.
 */
import type { Socket } from "node:net";

import { CARRY_BYTES, READ_BYTES } from "./limits.ts";
import type { OnRead } from "./qemu-socket.ts";

export const INTAKE_BYTES = CARRY_BYTES + READ_BYTES;

/** Takes what it can from [from, to) and returns where the rest begins. */
export type Take = (from: number, to: number) => number;

export class Intake {
  readonly #bytes: Uint8Array;
  readonly #base: number;
  readonly #take: Take;
  readonly #wantsMore: () => boolean;
  #socket: Socket | undefined;
  #from: number;
  #to: number;
  #held = true;
  received = 0;

  /** `base`: `INTAKE_BYTES` of `bytes` from there on are its own. Begins held, until `continue`. */
  constructor(bytes: Uint8Array, base: number, take: Take, wantsMore: () => boolean) {
    this.#bytes = bytes;
    this.#base = base;
    this.#take = take;
    this.#wantsMore = wantsMore;
    this.#from = base + CARRY_BYTES;
    this.#to = this.#from;
  }

  get onread(): OnRead {
    const at = this.#base + CARRY_BYTES;
    return {
      buffer: this.#bytes.subarray(at, at + READ_BYTES),
      callback: (count) => this.#read(count),
    };
  }

  /** Bytes read and not taken. */
  get pendingBytes(): number {
    return this.#to - this.#from;
  }

  attach(socket: Socket): void {
    this.#socket = socket;
    if (this.#held) socket.pause();
  }

  /** Goes on after it was held for want of room. */
  continue(): void {
    if (!this.#held || !this.#wantsMore()) return;
    this.#held = false;
    if (this.#parse()) this.#socket?.resume();
  }

  #read(count: number): boolean {
    this.#to += count;
    this.received += count;
    return this.#parse();
  }

  /** Whether the next read may come. */
  #parse(): boolean {
    this.#from = this.#take(this.#from, this.#to);
    if (!this.#wantsMore()) {
      this.#held = true;
      return false;
    }
    const rest = this.#to - this.#from;
    const start = this.#base + CARRY_BYTES - rest;
    if (rest > 0) this.#bytes.copyWithin(start, this.#from, this.#to);
    this.#from = start;
    this.#to = this.#base + CARRY_BYTES;
    return true;
  }
}
