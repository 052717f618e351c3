/**
 * QEMU's bytes as they come, for a relay that does not look at them: each read lands in a slot of its own, where it waits
 * to be written as it is. Nothing is copied. While nobody wants more nothing is read, so that QEMU feels the link.
 */
import type { Socket } from "node:net";

import { READ_BYTES } from "./limits.ts";
import type { OnRead } from "./qemu-socket.ts";
import { payloadOf, type Slots } from "./slots.ts";

/** The slot is the taker's. */
export type TakeSlot = (slot: Uint8Array, bytes: number) => void;

export class SlotIntake {
  readonly #slots: Slots;
  readonly #take: TakeSlot;
  readonly #wantsMore: () => boolean;
  #slot: Uint8Array;
  #socket: Socket | undefined;
  #held = true;
  received = 0;

  /** Begins held, until `continue`. */
  constructor(slots: Slots, take: TakeSlot, wantsMore: () => boolean) {
    this.#slots = slots;
    this.#slot = slots.take();
    this.#take = take;
    this.#wantsMore = wantsMore;
  }

  get onread(): OnRead {
    return {
      buffer: () => payloadOf(this.#slot, READ_BYTES),
      callback: (count) => this.#read(count),
    };
  }

  attach(socket: Socket): void {
    this.#socket = socket;
    if (this.#held) socket.pause();
  }

  /** Goes on after it was held for want of room. */
  continue(): void {
    if (!this.#held || !this.#wantsMore()) return;
    this.#held = false;
    this.#socket?.resume();
  }

  /** Whether the next read may come. */
  #read(count: number): boolean {
    this.received += count;
    const slot = this.#slot;
    this.#slot = this.#slots.take();
    this.#take(slot, count);
    this.#held = !this.#wantsMore();
    return !this.#held;
  }
}
