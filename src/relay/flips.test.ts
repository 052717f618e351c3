/** One bit changed on the way, in each kind of frame, in its header and its payload: noticed, and nothing of it loaded. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";

import { corpus } from "../../test/fuzz/corpus.ts";
import { type Direction, type Flip, flippingLine } from "../../test/relay/between.ts";
import { Arena, until } from "../../test/relay/hostile.ts";
import { encodeReturn } from "../stream/return-path.ts";
import { FRAME_HEADER_BYTES, FrameKind } from "../wire/frame.ts";

const stream =
  corpus().find(({ reader, name }) => reader === "stream" && name.startsWith("pre-copy"))?.bytes ??
  new Uint8Array();
const answer = encodeReturn({ kind: "shut", value: 0 });

/** A whole small migration, over a line that may change one bit. */
async function session(arena: Arena, flip: Flip) {
  const qemu = await arena.qemuTarget(answer);
  const config = { codec: { level: 1 } } as const;
  const target = await arena.target(config);
  const line = await flippingLine(arena, target.status().port ?? 0, flip);
  const source = await arena.source(line.port, config);
  await until("the wire is up or over", () => source.status().phase !== "waiting");
  if (source.status().phase === "failed") return { qemu, target, source, line, given: undefined };
  const sending = arena.qemuSource();
  sending.socket().end(stream);
  return { qemu, target, source, line, given: sending.given };
}

const NEVER: Flip = { direction: "to-target", kind: 99, at: 0, bit: 0 };
let whole: Buffer;
beforeAll(async () => {
  const arena = new Arena();
  const { qemu, target, source } = await session(arena, NEVER);
  expect([await source.ended, await target.ended].map(({ error }) => error)).toEqual([null, null]);
  whole = qemu.given();
  arena.close();
});
afterAll(() => {
  expect(whole.length).toBeGreaterThan(stream.length / 2);
});

let arena: Arena;
beforeEach(() => {
  arena = new Arena();
});
afterEach(() => arena.close());

/** Number, length, kind, codec, reserved, raw length, check; then the payload's first and last byte. */
const HEADER = [3, 2, 7, 5, 8, 9, 10, 15, 13, FRAME_HEADER_BYTES - 1];
const places = (kind: number): readonly number[] =>
  kind === FrameKind.end ? HEADER : [...HEADER, FRAME_HEADER_BYTES, -1];

const frames: readonly (readonly [string, Direction, number])[] = [
  ["raw", "to-target", FrameKind.raw],
  ["pages", "to-target", FrameKind.pages],
  ["end", "to-target", FrameKind.end],
  ["ping", "to-target", FrameKind.ping],
  ["pong", "to-target", FrameKind.pong],
  ["credit", "to-source", FrameKind.credit],
  ["return", "to-source", FrameKind.return],
  ["end", "to-source", FrameKind.end],
  ["ping", "to-source", FrameKind.ping],
  ["pong", "to-source", FrameKind.pong],
];

describe.each(frames)("a bit of a frame (%s, %s)", (_name, direction, kind) => {
  it.each(places(kind))("in its byte %d is noticed", async (at) => {
    const { qemu, target, source, line, given } = await session(arena, { direction, kind, at, bit: 2 });
    const receiver = direction === "to-target" ? target : source;
    const { error } = await receiver.ended;
    expect(line.wasFlipped()).toBe(true);
    // A length that grew makes the frame wait for what never comes.
    expect(error?.code).toMatch(/^(WIRE_(GARBAGE|DAMAGED)|PEER_STALLED)$/);
    await until("QEMU's socket is closed", () => !qemu.isConnected() || qemu.isClosed());
    const got = qemu.given();
    expect(whole.subarray(0, got.length).equals(got)).toBe(true);
    if (direction === "to-target" && kind <= FrameKind.pages) expect(got.length).toBeLessThan(whole.length);
    // Never an answer that the target did not give.
    if (given !== undefined)
      expect(Buffer.from(answer).subarray(0, given().length).equals(given())).toBe(true);
  });
});
