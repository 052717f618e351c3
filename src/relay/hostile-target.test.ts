/** A target that is none against a real source's relay: refused by name, and QEMU's socket closed, so it fails there. */
import { existsSync } from "node:fs";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { corpus } from "../../test/fuzz/corpus.ts";
import { anySide, fromTarget, returned } from "../../test/relay/attacks.ts";
import { Arena, frameBytes, type Peer, until } from "../../test/relay/hostile.ts";
import { creditFrame, endFrame } from "../wire/frame.ts";
import { HELLO_BYTES, Role } from "../wire/hello.ts";
import type { RunningRelay } from "./run.ts";

let arena: Arena;
beforeEach(() => {
  arena = new Arena();
});
afterEach(() => arena.close());

const stream =
  corpus().find(({ reader, name }) => reader === "stream" && name.startsWith("post-copy"))?.bytes ??
  new Uint8Array();

/** A source whose hello was answered, and the one it talks to. */
async function greeted(): Promise<{ readonly source: RunningRelay; readonly peer: Peer }> {
  const met = Promise.withResolvers<Peer>();
  const source = await arena.source(await arena.listen(met.resolve));
  const peer = await met.promise;
  await peer.answerHello();
  await until("the wire is up", () => source.status().phase === "connected");
  return { source, peer };
}

const rightly = anySide.filter(({ what }) => what !== "a credit for what was never sent");

describe("a target that has come to greeted", () => {
  it.each([...anySide.filter(({ what }) => !/end twice/.test(what)), ...fromTarget, ...returned])(
    "and then says $what",
    async ({ bytes, code }) => {
      const { source, peer } = await greeted();
      peer.say(bytes(1));
      const last = await source.ended;
      // Without a QEMU that asked, no answer is right, whatever it says.
      const expected = expect.stringMatching(new RegExp(`${code.source}|^WIRE_GARBAGE$`));
      expect(last).toMatchObject({ phase: "failed", error: { code: expected } });
      expect(arena.result("s").error).toEqual(last.error);
      expect(existsSync(join(arena.dir, "out.sock"))).toBe(false);
      await until("the peer is hung up on", () => peer.socket.destroyed || peer.socket.readableEnded);
    },
  );
});

describe("a target that has come to copying", () => {
  it.each([...rightly, ...fromTarget, ...returned])("and then says $what", async ({ bytes, code }) => {
    const { source, peer } = await greeted();
    const qemu = arena.qemuSource();
    qemu.socket().write(stream.subarray(0, 30_000));
    await until("frames come", () => source.status().framesSent > 0);
    peer.say(bytes(1));
    const last = await source.ended;
    expect(last).toMatchObject({ phase: "failed", error: { code: expect.stringMatching(code) } });
    expect(arena.result("s").error).toEqual(last.error);
    await until("QEMU's socket is closed", () => qemu.isClosed());
    expect(qemu.given().length).toBe(0);
    await until("the peer is hung up on", () => peer.socket.destroyed || peer.socket.readableEnded);
  });

  it("and then says a credit for more than was sent", async () => {
    const { source, peer } = await greeted();
    const qemu = arena.qemuSource();
    qemu.socket().write(stream.subarray(0, 30_000));
    await until("frames come", () => source.status().framesSent > 0);
    peer.say(frameBytes(creditFrame(source.status().framesSent + 1)));
    expect((await source.ended).error).toMatchObject({ code: "WIRE_GARBAGE" });
    await until("QEMU's socket is closed", () => qemu.isClosed());
  });

  it("and then ends without an answer: the source's stream is still no success", async () => {
    const { source, peer } = await greeted();
    const qemu = arena.qemuSource();
    qemu.socket().write(stream.subarray(0, 30_000));
    await until("frames come", () => source.status().framesSent > 0);
    peer.say(frameBytes(endFrame(1)));
    await until("QEMU hears the end", () => qemu.socket().readableEnded);
    qemu.socket().end();
    // Whether it waits for credits or not.
    const code = expect.stringMatching(/^(QEMU_CLOSED|PEER_STALLED)$/);
    expect((await source.ended).error).toMatchObject({ code });
  });

  it("and then hangs up", async () => {
    const { source, peer } = await greeted();
    const qemu = arena.qemuSource();
    qemu.socket().write(stream.subarray(0, 30_000));
    await until("frames come", () => source.status().framesSent > 0);
    peer.socket.destroy();
    expect((await source.ended).error).toMatchObject({ code: "LINK_LOST" });
    await until("QEMU's socket is closed", () => qemu.isClosed());
  });
});

type Answer = (peer: Peer) => void | Promise<void>;

describe("an answer to a hello", () => {
  it.each<readonly [string, RegExp, Answer]>([
    ["bytes that are none", /^WIRE_GARBAGE$/, (peer: Peer) => peer.say(Buffer.alloc(HELLO_BYTES, 1))],
    ["of a source", /^WIRE_GARBAGE$/, (peer: Peer) => peer.answerHello({ role: Role.source })],
    ["of another stripe", /^WIRE_GARBAGE$/, (peer: Peer) => peer.answerHello({ stripe: 1, stripes: 2 })],
    [
      "of another session",
      /^WIRE_GARBAGE$/,
      (peer: Peer) => peer.answerHello({ session: new Uint8Array(16) }),
    ],
    ["cut short", /^LINK_LOST$/, (peer: Peer) => void peer.socket.end(Buffer.from("GDWT"))],
    ["of another version", /^WIRE_VERSION$/, (peer: Peer) => peer.say(Buffer.from("47445754ffff", "hex"))],
  ])("%s ends it", async (_what, code, act) => {
    const port = await arena.listen((peer) => void act(peer));
    const source = await arena.source(port);
    expect((await source.ended).error).toMatchObject({ code: expect.stringMatching(code) });
    expect(existsSync(join(arena.dir, "out.sock"))).toBe(false);
  });

  it("that is wrong on one connection ends the others, which are not waited for", async () => {
    const peers: Peer[] = [];
    const port = await arena.listen((peer) => {
      peers.push(peer);
      if (peers.length === 2) peer.say(Buffer.alloc(HELLO_BYTES, 1));
    });
    const source = await arena.source(port, { connections: 4 });
    expect((await source.ended).error).toMatchObject({ code: "WIRE_GARBAGE" });
    await until("all are closed", () =>
      peers.every(({ socket }) => socket.destroyed || socket.readableEnded),
    );
  });
});

it("is refused when nobody listens", async () => {
  const source = await arena.source(1);
  expect((await source.ended).error).toMatchObject({ code: "PEER_UNREACHABLE" });
});
