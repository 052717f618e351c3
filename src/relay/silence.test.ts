/** A peer that says nothing more is given up in every state; one that is only slow never is. */
import { zstdCompressSync } from "node:zlib";

import { describe, expect, it as test } from "vitest";

import { corpus } from "../../test/fuzz/corpus.ts";
import { slowLine } from "../../test/relay/between.ts";
import { Arena, crafted, frameBytes, helloBytes, type Peer, until } from "../../test/relay/hostile.ts";
import { encodeReturn } from "../stream/return-path.ts";
import { FrameKind, pingFrame, plain, rawFrame } from "../wire/frame.ts";

const stream =
  corpus().find(({ reader, name }) => reader === "stream" && name.startsWith("pre-copy"))?.bytes ??
  new Uint8Array();
/** Longer on its way, at the rates below, than any silence is waited for. */
const slowStream = stream.subarray(0, 65_000);
/** A dead peer's deadline is real time, so all wait together. */
const LONG_MS = 60_000;
const it = (name: string, story: (arena: Arena) => Promise<void>): void =>
  test.concurrent(
    name,
    async () => {
      const arena = new Arena();
      try {
        await story(arena);
      } finally {
        arena.close();
      }
    },
    LONG_MS,
  );
const isHungUpOn = ({ socket }: Peer) => socket.destroyed || socket.readableEnded;

describe("a source that says nothing", () => {
  it("instead of a hello is hung up on, and a right one still gets in", async (arena) => {
    const target = await arena.target();
    const port = target.status().port ?? 0;
    const peer = arena.dial(port);
    await until("it is hung up on", () => isHungUpOn(peer));
    expect(target.status()).toMatchObject({ refusedConnections: 1, phase: "waiting" });
    arena.dial(port).say(helloBytes());
    await until("the right one is in", () => target.status().phase === "connected");
  });

  it("instead of its second connection's hello ends it", async (arena) => {
    const target = await arena.target();
    const peer = arena.dial(target.status().port ?? 0);
    peer.say(helloBytes({ stripes: 2 }));
    expect((await target.ended).error).toMatchObject({ code: "PEER_STALLED" });
    await until("the first is hung up on", () => isHungUpOn(peer));
  });

  it("behind its hello ends it", async (arena) => {
    const target = await arena.target();
    arena.dial(target.status().port ?? 0).say(helloBytes());
    expect((await target.ended).error).toMatchObject({ code: "PEER_STALLED" });
  });

  it("in the middle of the stream ends it, and QEMU's socket", async (arena) => {
    const qemu = await arena.qemuTarget();
    const target = await arena.target({ encode: false });
    arena.dial(target.status().port ?? 0).say(helloBytes(), frameBytes(rawFrame(1, plain(stream))));
    await until("it is given", () => qemu.given().length === stream.length);
    expect((await target.ended).error).toMatchObject({ code: "PEER_STALLED" });
    await until("QEMU's socket is closed", () => qemu.isClosed());
  });

  it("but a byte now and then, of a frame that is never whole, ends it", async (arena) => {
    const target = await arena.target({ encode: false });
    const peer = arena.dial(target.status().port ?? 0);
    peer.say(helloBytes(), crafted({ codec: 2, length: 900_000, raw: 900_000 }));
    const drip = setInterval(() => peer.say(new Uint8Array(40)), 500);
    arena.onClose(() => clearInterval(drip));
    expect((await target.ended).error).toMatchObject({ code: "PEER_STALLED" });
  });
});

describe("a target that says nothing", () => {
  it("instead of a hello ends it", async (arena) => {
    const source = await arena.source(await arena.listen(() => {}));
    expect((await source.ended).error).toMatchObject({ code: "PEER_STALLED" });
  });

  it("behind its hello ends it, before QEMU came", async (arena) => {
    const source = await arena.source(await arena.listen((peer) => void peer.answerHello()));
    expect((await source.ended).error).toMatchObject({ code: "PEER_STALLED" });
  });

  it("in the middle of the stream ends it, and QEMU's socket", async (arena) => {
    const source = await arena.source(await arena.listen((peer) => void peer.answerHello()));
    await until("the wire", () => source.status().phase === "connected");
    const qemu = arena.qemuSource();
    qemu.socket().write(stream);
    expect((await source.ended).error).toMatchObject({ code: "PEER_STALLED" });
    await until("QEMU's socket is closed", () => qemu.isClosed());
  });
});

describe("a peer that takes nothing", () => {
  it("while it asks for answers is refused, before they fill the memory", async (arena) => {
    const target = await arena.target();
    const peer = arena.dial(target.status().port ?? 0);
    peer.say(helloBytes());
    await until("its hello is answered", () => peer.heard.length > 0);
    peer.socket.pause();
    const pings = frameBytes(...Array.from({ length: 1000 }, () => pingFrame(new Uint8Array(8))));
    const asking = setInterval(() => peer.say(pings, pings, pings, pings), 1);
    arena.onClose(() => clearInterval(asking));
    expect((await target.ended).error?.message).toContain("takes no answer");
  });

  it("of what its credits allow, but sends more, is refused before it is expanded", async (arena) => {
    const target = await arena.target({ encode: false });
    const peer = arena.dial(target.status().port ?? 0);
    const small = zstdCompressSync(new Uint8Array(2 ** 20));
    const frames = Array.from({ length: 40 }, (_, at) =>
      crafted({ number: at + 1, kind: FrameKind.raw, codec: 2, raw: 2 ** 20 }, small),
    );
    peer.say(helloBytes(), ...frames);
    const { error } = await target.ended;
    expect(error).toMatchObject({ code: "WIRE_GARBAGE" });
    expect(error?.message).toMatch(/more frames .*(credits|asked for)/);
  });
});

describe("a slow link is not a dead one", () => {
  const answer = encodeReturn({ kind: "shut", value: 0 });
  const sizes = { storeBytes: 2 ** 20, codec: "off", encode: false } as const;

  async function whole(arena: Arena, via: (port: number) => Promise<number> | number, rate: number | null) {
    const config = { ...sizes, bandwidthBytesPerSecond: rate };
    const qemu = await arena.qemuTarget(answer);
    const target = await arena.target(config);
    const source = await arena.source(await via(target.status().port ?? 0), config);
    await until("the wire", () => source.status().phase === "connected");
    const sending = arena.qemuSource();
    sending.socket().end(slowStream);
    expect([await source.ended, await target.ended].map(({ error }) => error)).toEqual([null, null]);
    expect(qemu.given().equals(Buffer.from(slowStream))).toBe(true);
    await until("the answer", () => sending.given().equals(Buffer.from(answer)));
  }

  it("at a hundredth of 500 kB/s", (arena) => whole(arena, (port) => slowLine(arena, port, 5000), null));
  it("with a cap of 5 kB/s", (arena) => whole(arena, (port) => port, 5000));
});
