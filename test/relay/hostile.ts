/** Both ends of a relay under attack: a peer that says any bytes, and a QEMU that remembers what it was given. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { crc32, sha256 } from "../../src/relay/bytes.ts";
import { checkConfig, type RelayConfigInput } from "../../src/relay/config.ts";
import { NO_OFFER } from "../../src/relay/kept-store.ts";
import { runRelay, type RunningRelay } from "../../src/relay/run.ts";
import type { StartConfig } from "../../src/relay/start.ts";
import { relayStatus, type RelayStatus } from "../../src/relay/status.ts";
import { type Frame, encodeFrame, FRAME_HEADER_BYTES } from "../../src/wire/frame.ts";
import { encodeHello, type Hello, HELLO_BYTES, Role, SESSION_AT } from "../../src/wire/hello.ts";
import { BATCH_PAGES_MAX, FRAME_PAYLOAD_BYTES_MAX } from "../../src/wire/limits.ts";

const DEADLINE_MS = 25_000;

export async function until(what: string, condition: () => boolean): Promise<void> {
  const deadline = performance.now() + DEADLINE_MS;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`waited in vain: ${what}`);
    await delay(2);
  }
}

export const SESSION = new Uint8Array(16).fill(9);

/** A source's that is right, but for what is said otherwise. */
export const helloOf = (more: Partial<Hello> = {}): Hello => ({
  role: Role.source,
  stripe: 0,
  stripes: 1,
  codecs: 5,
  payloadBytesMax: FRAME_PAYLOAD_BYTES_MAX,
  windowFrames: 16,
  batchPages: BATCH_PAGES_MAX,
  storeSlots: 256,
  ...NO_OFFER,
  session: SESSION,
  ...more,
});

export const helloBytes = (more: Partial<Hello> = {}): Uint8Array => encodeHello(helloOf(more), sha256);

export const frameBytes = (...frames: readonly Frame[]): Buffer =>
  Buffer.concat(frames.flatMap((frame) => [...encodeFrame(frame, crc32)]));

/** A frame that no encoder makes: header fields as they are said, the check right. */
export function crafted(
  fields: { number?: number; length?: number; kind?: number; codec?: number; zero?: number; raw?: number },
  payload: Uint8Array = new Uint8Array(),
): Buffer {
  const bytes = Buffer.alloc(FRAME_HEADER_BYTES + payload.length);
  bytes.writeUInt32BE(fields.number ?? 1, 0);
  bytes.writeUInt32BE(fields.length ?? payload.length, 4);
  bytes.writeUInt8(fields.kind ?? 1, 8);
  bytes.writeUInt8(fields.codec ?? 0, 9);
  bytes.writeUInt16BE(fields.zero ?? 0, 10);
  bytes.writeUInt32BE(fields.raw ?? payload.length, 12);
  bytes.set(payload, FRAME_HEADER_BYTES);
  bytes.writeUInt32BE(crc32(bytes), 16);
  return bytes;
}

/** What stands for QEMU at one end; remembers how its socket ended. */
export interface FakeQemu {
  readonly given: () => Buffer;
  readonly isClosed: () => boolean;
  readonly isConnected: () => boolean;
  readonly socket: () => Socket | undefined;
}

export class Arena {
  readonly dir = mkdtempSync(join(tmpdir(), "hostile-"));
  readonly #closers: (() => void)[] = [];

  close(): void {
    for (const close of this.#closers.toReversed()) close();
    rmSync(this.dir, { recursive: true, force: true });
  }

  onClose(closer: () => void): void {
    this.#closers.push(closer);
  }

  #common() {
    return {
      id: "m-1",
      insecure: true,
      peerName: "peer",
      capabilities: { postcopyRam: true },
      bandwidthBytesPerSecond: null,
      codec: "off" as const,
      encode: true,
      storeBytes: 2 ** 20,
    };
  }

  #files(name: "s" | "t") {
    return {
      statusSocket: join(this.dir, `${name}.sock`),
      resultFile: join(this.dir, `${name}.json`),
    };
  }

  /** For a relay that is a process, or the part of it that has no files. */
  targetConfig(more: Partial<StartConfig> = {}): StartConfig {
    return {
      ...this.#common(),
      side: "target",
      qemuSocket: join(this.dir, "in.sock"),
      listen: { address: "127.0.0.1", portMin: 0, portMax: 0 },
      ...more,
    } as StartConfig;
  }

  sourceConfig(port: number, more: Partial<StartConfig> = {}): StartConfig {
    return {
      ...this.#common(),
      side: "source",
      qemuSocket: join(this.dir, "out.sock"),
      target: { address: "127.0.0.1", port },
      connections: 1,
      ...more,
    } as StartConfig;
  }

  async target(more: Partial<RelayConfigInput> = {}): Promise<RunningRelay> {
    const relay = await runRelay(checkConfig({ ...this.targetConfig(), ...this.#files("t"), ...more }));
    this.onClose(() => relay.abort(new Error("over") as never));
    return relay;
  }

  async source(port: number, more: Partial<RelayConfigInput> = {}): Promise<RunningRelay> {
    const relay = await runRelay(checkConfig({ ...this.sourceConfig(port), ...this.#files("s"), ...more }));
    this.onClose(() => relay.abort(new Error("over") as never));
    return relay;
  }

  result(name: "s" | "t"): RelayStatus {
    return relayStatus.parse(JSON.parse(readFileSync(join(this.dir, `${name}.json`), "utf8")));
  }

  /** Stands for the target's QEMU. `answer`: said when the stream ends. */
  async qemuTarget(answer?: Uint8Array): Promise<FakeQemu> {
    const given: Buffer[] = [];
    let socket: Socket | undefined;
    const server = createServer({ allowHalfOpen: true }, (connection) => {
      socket = connection;
      this.onClose(() => connection.destroy());
      connection.on("error", () => connection.destroy());
      connection.on("data", (bytes) => given.push(bytes));
      connection.on("end", () => connection.end(answer ?? new Uint8Array()));
    });
    this.onClose(() => server.close());
    await new Promise<void>((resolve) => server.listen(join(this.dir, "in.sock"), resolve));
    return {
      given: () => Buffer.concat(given),
      isConnected: () => socket !== undefined,
      isClosed: () => socket === undefined || socket.destroyed || socket.readableEnded,
      socket: () => socket,
    };
  }

  /** Stands for the source's QEMU: connects and sends. */
  qemuSource(): Omit<FakeQemu, "socket"> & { readonly socket: () => Socket } {
    const given: Buffer[] = [];
    const socket = connect({ path: join(this.dir, "out.sock"), allowHalfOpen: true });
    this.onClose(() => socket.destroy());
    socket.on("error", () => socket.destroy());
    socket.on("data", (bytes: Buffer) => given.push(bytes));
    return {
      given: () => Buffer.concat(given),
      isConnected: () => !socket.connecting,
      isClosed: () => socket.destroyed || socket.readableEnded,
      socket: () => socket,
    };
  }

  /** A connection to a relay; what it says is kept. */
  dial(port: number): Peer {
    const socket = connect(port, "127.0.0.1");
    this.onClose(() => socket.destroy());
    return new Peer(socket);
  }

  /** Listens where a source's relay will dial. `met` is told of each connection. */
  async listen(met: (peer: Peer) => void): Promise<number> {
    const server: Server = createServer((socket) => {
      this.onClose(() => socket.destroy());
      met(new Peer(socket));
    });
    this.onClose(() => server.close());
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    return address !== null && typeof address === "object" ? address.port : 0;
  }
}

/** One connection on which anything can be said. */
export class Peer {
  readonly socket: Socket;
  readonly #heard: Buffer[] = [];
  #bytes = 0;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on("error", () => socket.destroy());
    socket.on("data", (bytes: Buffer) => {
      this.#heard.push(bytes);
      this.#bytes += bytes.length;
    });
  }

  say(...parts: readonly Uint8Array[]): void {
    this.socket.write(Buffer.concat(parts));
  }

  get heard(): Buffer {
    return Buffer.concat(this.#heard);
  }

  /** Once the other side said hello: its hello again, in the other role. */
  async answerHello(more: Partial<Hello> = {}): Promise<void> {
    await until("the other's hello", () => this.#bytes >= HELLO_BYTES);
    const hello = this.heard.subarray(0, HELLO_BYTES);
    this.say(
      helloBytes({
        role: Role.target,
        stripe: hello[7] ?? 0,
        stripes: hello[8] ?? 1,
        session: new Uint8Array(hello.subarray(SESSION_AT, SESSION_AT + SESSION.length)),
        ...more,
      }),
    );
  }
}
