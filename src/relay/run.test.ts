/** Both sides in one process, between two unix sockets that stand for QEMU, and with peers that are none. */
import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { helloBytes } from "../../test/relay/hostile.ts";
import { encodeRecords } from "../stream/encode.ts";
import { HELLO_BYTES, Role } from "../wire/hello.ts";
import { checkConfig, type RelayConfigInput } from "./config.ts";
import { runRelay, type RunningRelay } from "./run.ts";

let dir: string;
let closers: (() => void)[] = [];
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "relay-"));
});
afterEach(() => {
  for (const close of closers) close();
  closers = [];
  rmSync(dir, { recursive: true, force: true });
});

async function until(what: string, condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`waited in vain: ${what}`);
    await delay(2);
  }
}

const common = {
  id: "m-1",
  insecure: true,
  peerName: "-",
  capabilities: { postcopyRam: false },
  bandwidthBytesPerSecond: null as number | null,
  codec: "off" as const,
  encode: false,
  storeBytes: 2 ** 20,
};

const files = (name: string) =>
  ({ statusSocket: join(dir, `${name}.sock`), resultFile: join(dir, `${name}.json`) }) as const;

async function startTarget(more: Partial<RelayConfigInput> = {}): Promise<RunningRelay> {
  const relay = await runRelay(
    checkConfig({
      ...common,
      ...files("t"),
      side: "target",
      qemuSocket: join(dir, "in.sock"),
      listen: { address: "127.0.0.1", portMin: 0, portMax: 0 },
      ...more,
    }),
  );
  closers.push(() => relay.abort(new Error("over") as never));
  return relay;
}

async function startSource(port: number, more: Partial<RelayConfigInput> = {}): Promise<RunningRelay> {
  const relay = await runRelay(
    checkConfig({
      ...common,
      ...files("s"),
      side: "source",
      qemuSocket: join(dir, "out.sock"),
      target: { address: "127.0.0.1", port },
      connections: 1,
      ...more,
    }),
  );
  closers.push(() => relay.abort(new Error("over") as never));
  return relay;
}

/** Stands for the target's QEMU: takes a stream when told to. */
async function qemuServer(taken: (socket: Socket) => void): Promise<Server> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
    socket.on("error", () => socket.destroy());
    closers.push(() => socket.destroy());
    taken(socket);
  });
  closers.push(() => server.close());
  await new Promise<void>((resolve) => server.listen(join(dir, "in.sock"), resolve));
  return server;
}

async function pair(taken: (socket: Socket) => void, more: Partial<RelayConfigInput> = {}) {
  await qemuServer(taken);
  const target = await startTarget(more);
  const source = await startSource(target.status().port ?? 0, more);
  await until("the wire", () => source.status().phase === "connected");
  const qemu = connect({ path: join(dir, "out.sock"), allowHalfOpen: true });
  qemu.on("error", () => qemu.destroy());
  closers.push(() => qemu.destroy());
  return { source, target, qemu };
}

describe("two sides passing bytes through", () => {
  it("carry both directions exactly, end each by itself, and leave their counters", async () => {
    const sent = randomBytes(3_000_000);
    const got: Buffer[] = [];
    const { source, target, qemu } = await pair((socket) => {
      socket.on("data", (bytes) => got.push(bytes));
      socket.on("end", () => socket.end("answer"));
      socket.resume();
    });
    let answer = "";
    qemu.on("data", (bytes) => (answer += bytes.toString()));
    qemu.end(sent);
    expect(await source.ended).toMatchObject({ phase: "done", error: null, qemuBytesIn: sent.length });
    expect(await target.ended).toMatchObject({ phase: "done", error: null, qemuBytesOut: sent.length });
    expect(Buffer.concat(got).equals(sent)).toBe(true);
    await until("the answer", () => answer === "answer");
    expect(JSON.parse(readFileSync(join(dir, "s.json"), "utf8"))).toMatchObject({ phase: "done" });
  });

  it("stop reading from the source soon after the target's QEMU stops", async () => {
    const { source, target, qemu } = await pair(() => {});
    const total = 64 * 2 ** 20;
    for (let at = 0; at < total; at += 2 ** 20) qemu.write(Buffer.alloc(2 ** 20, at));
    await until("the target is full", () => target.status().qemuBytesOut > 0);
    let before = -1;
    while (source.status().qemuBytesIn !== before) {
      before = source.status().qemuBytesIn;
      await delay(100);
    }
    expect(before).toBeLessThan(8 * 2 ** 20);
    expect(source.status().phase).toBe("copying");
  });

  it("end both QEMUs' sockets when one side is aborted, and say why", async () => {
    let closed = false;
    const { source, target, qemu } = await pair((socket) => {
      socket.on("end", () => (closed = true));
      socket.resume();
    });
    qemu.resume();
    qemu.write("x");
    await until("it arrives", () => target.status().qemuBytesOut === 1);
    target.abort(new (await import("../std/errors.ts")).CodedError("LINK_LOST", { why: "because" }));
    expect(await source.ended).toMatchObject({
      phase: "failed",
      error: { code: "PEER_REFUSED", message: expect.stringContaining("because") },
    });
    await until("both are closed", () => closed && qemu.readableEnded);
  });

  it("tell the source when the target's QEMU dies in between", async () => {
    const { source, target, qemu } = await pair((socket) => {
      socket.once("data", () => socket.destroy());
      socket.resume();
    });
    qemu.write("x");
    expect(await target.ended).toMatchObject({ error: { code: "QEMU_CLOSED" } });
    expect(await source.ended).toMatchObject({ phase: "failed" });
  });

  it("stay below the cap", async () => {
    const rate = 2_000_000;
    const { source, qemu } = await pair(
      (socket) => {
        socket.on("end", () => socket.end());
        socket.resume();
      },
      { bandwidthBytesPerSecond: rate },
    );
    const began = performance.now();
    qemu.end(Buffer.alloc(1_000_000));
    const last = await source.ended;
    const seconds = (performance.now() - began) / 1000;
    // The token bucket may be one piece ahead.
    expect((last.wireBytesOut + last.wireBytesIn - 131_072) / seconds).toBeLessThan(rate);
    expect(last.error).toBeNull();
  });
});

it("passes on untouched what follows a page in a form it cannot read, behind a record that names its block", async () => {
  const page = (offset: number, value: number) =>
    ({
      kind: "page",
      block: "pc.ram",
      offset,
      continued: false,
      bytes: new Uint8Array(4096).fill(value),
    }) as const;
  const plain = encodeRecords([
    { kind: "header" },
    { kind: "section-begin", section: { type: "start", id: 2, idstr: "ram", instance: 0, version: 4 } },
    { kind: "ram-size", totalBytes: 2 ** 20 },
    { kind: "ram-block", block: { name: "pc.ram", usedBytes: 2 ** 20 } },
    { kind: "mark", mark: "eos" },
    { kind: "section-end", id: 2 },
    { kind: "section-begin", section: { type: "part", id: 2 } },
    page(0, 1),
    page(4096, 2),
  ]);
  // Offset 0 with XBZRLE and CONTINUE, then what nobody here understands.
  const foreign = Buffer.concat([Buffer.from("0000000000000060", "hex"), randomBytes(5000)]);
  const got: Buffer[] = [];
  const { source, qemu } = await pair(
    (socket) => {
      socket.on("data", (bytes) => got.push(bytes));
      socket.on("end", () => socket.end());
      socket.resume();
    },
    { encode: true, codec: { level: 1 } },
  );
  qemu.write(plain);
  qemu.end(foreign);
  expect((await source.ended).mode).toEqual({ kind: "pass-through", reason: "pages in the form xbzrle" });
  const head = encodeRecords([{ kind: "section-begin", section: { type: "part", id: 2 } }, page(4096, 2)]);
  const all = Buffer.concat(got);
  expect(all.subarray(-foreign.length - head.length).equals(Buffer.concat([head, foreign]))).toBe(true);
});

function stranger(port: number): Socket {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => socket.destroy());
  closers.push(() => socket.destroy());
  return socket;
}

describe("a peer that is no relay", () => {
  it.each([
    ["garbage", randomBytes(HELLO_BYTES)],
    ["the hello of a target", helloBytes({ role: Role.target })],
    ["a hello with a bit changed", helloBytes().map((byte, at) => (at === 20 ? byte ^ 1 : byte))],
  ])("is shut out when it says %s, and a right one still gets in", async (_what, bytes) => {
    const target = await startTarget();
    const socket = stranger(target.status().port ?? 0);
    socket.write(bytes);
    await until(
      "it is shut out",
      () => socket.destroyed || socket.readableEnded || target.status().refusedConnections === 1,
    );
    await startSource(target.status().port ?? 0);
    await until("the right one is in", () => target.status().phase === "connected");
  });

  it.each([
    ["garbage", randomBytes(64)],
    ["a frame longer than any", Buffer.from("00000001ffffffff0100000000000001".padEnd(64, "0"), "hex")],
    ["an end and then more", Buffer.alloc(64)],
  ])("ends it when %s comes behind the hello, and QEMU is never connected to", async (_what, bytes) => {
    let connected = false;
    await qemuServer(() => (connected = true));
    const target = await startTarget({ encode: true });
    const socket = stranger(target.status().port ?? 0);
    socket.resume();
    socket.write(helloBytes());
    socket.write(bytes);
    expect(await target.ended).toMatchObject({ error: { code: expect.stringMatching(/^WIRE_/) } });
    expect(connected).toBe(false);
  });
});

it("is refused without TLS on an address that others reach", () => {
  const config = {
    ...common,
    ...files("t"),
    side: "target",
    qemuSocket: "x",
    listen: { address: "0.0.0.0", portMin: 0, portMax: 0 },
  };
  expect(() => checkConfig(config)).toThrow("loopback");
  expect(() => checkConfig({ ...config, insecure: false })).toThrow("tlsDir");
});

it("is started without knowing where to, and told", async () => {
  const target = await startTarget();
  const source = await startSource(0, { target: undefined });
  expect(source.status().phase).toBe("waiting");
  const say = (address: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const socket = connect(files("s").statusSocket).on("error", reject);
      socket.once("data", (bytes) => (resolve(bytes.toString()), socket.destroy()));
      const to = { address, port: target.status().port };
      socket.write(`${JSON.stringify({ do: "dial", target: to })}\n`);
    });
  expect(await say("192.0.2.1")).toContain("loopback");
  await say("127.0.0.1");
  await until("the wire", () => source.status().phase === "connected");
});
