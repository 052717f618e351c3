/** Between two relays: a line that can change a bit of one frame, be slow, or be cut. Knows where frames begin, no more. */
import { connect, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

import { FRAME_HEADER_BYTES } from "../../src/wire/frame.ts";
import { HELLO_BYTES } from "../../src/wire/hello.ts";
import type { Arena } from "./hostile.ts";

export type Direction = "to-target" | "to-source";

/** In the first frame of this kind in this direction. Negative places count from the frame's end. */
export interface Flip {
  readonly direction: Direction;
  readonly kind: number;
  readonly at: number;
  readonly bit: number;
}

const KIND_AT = 8;
const LENGTH_AT = 4;
const SLICES_PER_SECOND = 20;

/** Passes frames on, each once it is whole. */
class FlippingLine {
  readonly #flip: Flip;
  #held = Buffer.alloc(0);
  #greeted = false;
  flipped = false;

  constructor(flip: Flip) {
    this.#flip = flip;
  }

  pass(bytes: Buffer): Buffer {
    this.#held = Buffer.concat([this.#held, bytes]);
    const out: Buffer[] = [];
    for (let frame = this.#next(); frame !== undefined; frame = this.#next()) out.push(this.#changed(frame));
    return Buffer.concat(out);
  }

  #next(): Buffer | undefined {
    const held = this.#held;
    const length = !this.#greeted
      ? HELLO_BYTES
      : held.length < FRAME_HEADER_BYTES
        ? Infinity
        : FRAME_HEADER_BYTES + held.readUInt32BE(LENGTH_AT);
    if (held.length < length) return undefined;
    this.#held = held.subarray(length);
    return Buffer.from(held.subarray(0, length));
  }

  #changed(frame: Buffer): Buffer {
    const { kind, at, bit } = this.#flip;
    if (!this.#greeted) {
      this.#greeted = true;
      return frame;
    }
    const place = at < 0 ? frame.length + at : at;
    if (this.flipped || frame[KIND_AT] !== kind || place >= frame.length) return frame;
    this.flipped = true;
    frame[place] = (frame[place] ?? 0) ^ (1 << bit);
    return frame;
  }
}

/** The port to dial instead, and whether the bit was met. */
export async function flippingLine(
  arena: Arena,
  port: number,
  flip: Flip,
): Promise<{ readonly port: number; readonly wasFlipped: () => boolean }> {
  const line = new FlippingLine(flip);
  const between = await lineTo(arena, port, (bytes, direction, pass) =>
    pass(direction === flip.direction ? line.pass(bytes) : bytes),
  );
  return { port: between, wasFlipped: () => line.flipped };
}

/** Both directions at this rate each, without a queue of its own: who sends more waits. */
export function slowLine(arena: Arena, port: number, bytesPerSecond: number): Promise<number> {
  const slice = Math.max(1, Math.floor(bytesPerSecond / SLICES_PER_SECOND));
  return lineTo(arena, port, async (bytes, _direction, pass) => {
    for (let at = 0; at < bytes.length; at += slice) {
      pass(bytes.subarray(at, at + slice));
      await delay(1000 / SLICES_PER_SECOND);
    }
  });
}

type Carry = (bytes: Buffer, direction: Direction, pass: (bytes: Buffer) => void) => void | Promise<void>;

function lineTo(arena: Arena, port: number, carry: Carry): Promise<number> {
  return arena.listen(({ socket: near }) => {
    const far = connect(port, "127.0.0.1");
    far.on("error", () => far.destroy());
    arena.onClose(() => far.destroy());
    near.removeAllListeners("data");
    join(near, far, "to-target", carry);
    join(far, near, "to-source", carry);
  });
}

function join(from: Socket, to: Socket, direction: Direction, carry: Carry): void {
  const carried = async (bytes: Buffer): Promise<void> => {
    from.pause();
    await carry(bytes, direction, (part) => void (to.destroyed || to.write(part)));
    from.resume();
  };
  from.on("data", (bytes: Buffer) => void carried(bytes));
  from.on("close", () => to.destroy());
}
