/** A source that is none against a real target's relay: refused by name, QEMU's socket closed, nothing of it loaded. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { corpus } from "../../test/fuzz/corpus.ts";
import { framesOf } from "../../test/fuzz/wire-readers.ts";
import { anySide, type Attack, batches, fromSource } from "../../test/relay/attacks.ts";
import { Arena, crafted, frameBytes, helloBytes, until } from "../../test/relay/hostile.ts";
import { Phase } from "../wire/batch.ts";
import { endFrame, type Frame, FrameKind, plain, rawFrame } from "../wire/frame.ts";
import { Role } from "../wire/hello.ts";
import { sha256 } from "./bytes.ts";

let arena: Arena;
beforeEach(() => {
  arena = new Arena();
});
afterEach(() => arena.close());

const session = (name: string): readonly Frame[] => [
  ...framesOf(
    corpus().find((file) => file.reader === "rebuild" && file.name.startsWith(name))?.bytes ??
      new Uint8Array(),
  ),
];
const preCopy = session("pre-copy");
const postCopy = session("post-copy");
/** Up to the first batch, and to the first one behind the package. */
const copying = preCopy.slice(0, preCopy.findIndex(({ kind }) => kind === FrameKind.pages) + 1);
const lastBatch = postCopy.findLastIndex(({ kind }) => kind === FrameKind.pages);
const fetching = postCopy.slice(0, lastBatch + 1);

interface State {
  readonly name: string;
  readonly before: readonly Frame[];
  readonly attacks: readonly Attack[];
}
const states: readonly State[] = [
  {
    name: "greeted",
    before: [],
    attacks: [...anySide, ...fromSource].filter(({ what }) => !/end/.test(what)),
  },
  { name: "copying", before: copying, attacks: [...anySide, ...fromSource, ...batches(Phase.preCopy)] },
  { name: "fetching", before: fetching, attacks: [...anySide, ...fromSource, ...batches(Phase.postCopy)] },
];

describe.each(states)("a source that has come to $name", ({ before, attacks }) => {
  it.each(attacks)("and then says $what", async ({ bytes, code }) => {
    const clean = await streamOf(before);
    const qemu = await arena.qemuTarget();
    const target = await arena.target();
    const peer = arena.dial(target.status().port ?? 0);
    peer.say(helloBytes(), frameBytes(...before));
    await until("all of it is given to QEMU", () => qemu.given().length === clean.length);
    peer.say(bytes(before.length + 1));
    const last = await target.ended;
    expect(last).toMatchObject({ phase: "failed", error: { code: expect.stringMatching(code) } });
    expect(arena.result("t").error).toEqual(last.error);
    await until("QEMU's socket is closed", () => qemu.isClosed());
    // What came behind the last whole frame is nowhere; an end twice says one end rightly.
    expect(qemu.given().subarray(0, clean.length).equals(clean)).toBe(true);
    expect(qemu.given().length - clean.length).toBeLessThanOrEqual(0);
    await until("the peer is hung up on", () => peer.socket.destroyed || peer.socket.readableEnded);
  });
});

/** What a correct session gives to QEMU. */
async function streamOf(frames: readonly Frame[]): Promise<Buffer> {
  if (frames.length === 0) return Buffer.alloc(0);
  const own = new Arena();
  try {
    const qemu = await own.qemuTarget();
    const target = await own.target();
    const peer = own.dial(target.status().port ?? 0);
    peer.say(helloBytes(), frameBytes(...frames, endFrame(frames.length + 1)));
    await until("QEMU's end", () => qemu.isConnected() && qemu.isClosed());
    return qemu.given();
  } finally {
    own.close();
  }
}

const changed = (bytes: Uint8Array, at: number, value: number): Uint8Array => {
  const copy = bytes.slice();
  copy[at] = value;
  copy.fill(0, 56);
  copy.set(sha256([copy]).subarray(0, 16), 56);
  return copy;
};

describe("a hello", () => {
  it.each([
    ["with another magic", changed(helloBytes(), 0, 0x48)],
    ["of another version", changed(helloBytes(), 5, 99)],
    ["of a target", helloBytes({ role: Role.target })],
    ["of a third role", changed(helloBytes(), 6, 3)],
    ["of stripe 1 of 1", changed(helloBytes(), 7, 1)],
    ["of no stripes", changed(helloBytes(), 8, 0)],
    ["of 17 stripes", changed(helloBytes(), 8, 17)],
    ["with reserved bytes in use", changed(helloBytes(), 10, 1)],
    ["with frames of no bytes", changed(helloBytes(), 13, 0)],
    ["with no window", changed(helloBytes(), 17, 0)],
    ["with a window in which nothing fits", changed(helloBytes(), 17, 4)],
    ["with a window of 65 thousand", changed(helloBytes(), 16, 255)],
    ["with no store", changed(changed(helloBytes(), 22, 0), 23, 0)],
    ["with a changed check", helloBytes().map((byte, at) => (at === 60 ? byte ^ 1 : byte))],
  ])("%s is shut out, counted, and a right one still gets in", async (_what, bytes) => {
    const target = await arena.target();
    const port = target.status().port ?? 0;
    const peer = arena.dial(port);
    peer.say(bytes);
    await until("it is shut out", () => target.status().refusedConnections === 1);
    await until("it is hung up on", () => peer.socket.destroyed || peer.socket.readableEnded);
    expect(peer.heard.length).toBe(0);
    arena.dial(port).say(helloBytes());
    await until("the right one is in", () => target.status().phase === "connected");
  });

  it("of another session, between two connections of one, ends it", async () => {
    const target = await arena.target();
    const port = target.status().port ?? 0;
    const first = arena.dial(port);
    first.say(helloBytes({ stripes: 2 }));
    await until("the first is answered", () => first.heard.length > 0);
    arena.dial(port).say(helloBytes({ stripe: 1, stripes: 2, session: new Uint8Array(16).fill(1) }));
    expect((await target.ended).error).toMatchObject({ code: "WIRE_GARBAGE" });
    await until("the first is hung up on", () => first.socket.destroyed || first.socket.readableEnded);
  });

  it("of a stripe twice ends it", async () => {
    const target = await arena.target();
    const port = target.status().port ?? 0;
    const first = arena.dial(port);
    first.say(helloBytes({ stripes: 2 }));
    await until("the first is answered", () => first.heard.length > 0);
    arena.dial(port).say(helloBytes({ stripes: 2 }));
    expect((await target.ended).error).toMatchObject({ code: "WIRE_GARBAGE" });
    await until("the first is hung up on", () => first.socket.destroyed || first.socket.readableEnded);
  });
});

it("is not done when the source ends without a stream", async () => {
  const qemu = await arena.qemuTarget();
  const target = await arena.target();
  arena.dial(target.status().port ?? 0).say(helloBytes(), frameBytes(endFrame(1)));
  expect((await target.ended).error).toMatchObject({ code: "QEMU_CLOSED" });
  expect(qemu.isConnected()).toBe(false);
});

it("keeps an abort's sentence from writing anywhere but where it is shown", async () => {
  const target = await arena.target();
  const peer = arena.dial(target.status().port ?? 0);
  const text = "\u001b[2J\u0007\r\nDone: \u202Eeverything";
  const payload = Buffer.concat([Uint8Array.of(3), Buffer.from(`A\u001bB${text}`)]);
  peer.say(helloBytes(), crafted({ number: 0, kind: FrameKind.abort }, payload));
  const { error } = await target.ended;
  expect(error?.code).toBe("PEER_REFUSED");
  expect(error?.message).toContain("everything");
  expect(error?.message).not.toMatch(/[\p{Cc}\p{Cf}]/u);
});

it("does not wait for a QEMU that takes nothing when the other side is gone", async () => {
  const qemu = await arena.qemuTarget();
  const target = await arena.target({ encode: false });
  const peer = arena.dial(target.status().port ?? 0);
  peer.say(helloBytes(), frameBytes(rawFrame(1, plain(new Uint8Array(10)))));
  await until("QEMU is there", () => qemu.given().length === 10);
  qemu.socket()?.pause();
  const many = Array.from({ length: 8 }, (_, index) => rawFrame(index + 2, plain(new Uint8Array(2 ** 20))));
  peer.say(frameBytes(...many));
  await until("it is given", () => target.status().wireBytesIn > 4 * 2 ** 20);
  peer.socket.destroy();
  expect((await target.ended).error).toMatchObject({ code: "LINK_LOST" });
});
