/**
 * How the connections of one wire come up: TLS 1.3 with both sides authenticated, then both hellos. Decides who is let
 * in; frames are left to stripe.ts.
 */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { connect as connectTls, createServer as createTlsServer, TLSSocket } from "node:tls";

import { CodedError, toCodedError } from "../std/errors.ts";
import { ByteQueue } from "../wire/byte-queue.ts";
import { encodeHello, type Hello, Role, SESSION_BYTES, tryReadHello } from "../wire/hello.ts";
import { BATCH_PAGES_MAX, FRAME_PAYLOAD_BYTES_MAX } from "../wire/limits.ts";
import { PAGE_BYTES } from "../page/types.ts";
import type { RelayConfig, SourceConfig, TargetConfig } from "./config.ts";
import { DIAL_TIMEOUT_MS, HELLO_TIMEOUT_MS, PENDING_MAX, WINDOW_FRAMES_ASKED } from "./limits.ts";
import { plainBytes, sha256 } from "./bytes.ts";

export interface Greeted {
  readonly socket: Socket;
  /** What came behind the hello. */
  readonly input: ByteQueue;
  readonly ours: Hello;
  readonly theirs: Hello;
}

export interface Listening {
  readonly port: number;
  /** All connections of the first peer that is let in, in the order of their stripes. */
  readonly greeted: Promise<readonly Greeted[]>;
  readonly refused: () => number;
  close(): void;
}

const CODECS_UNDERSTOOD = 0b101;

const helloOf = (config: RelayConfig, stripe: number, stripes: number, session: Uint8Array): Hello => ({
  role: config.side === "source" ? Role.source : Role.target,
  stripe,
  stripes,
  codecs: CODECS_UNDERSTOOD,
  payloadBytesMax: FRAME_PAYLOAD_BYTES_MAX,
  windowFrames: WINDOW_FRAMES_ASKED,
  batchPages: BATCH_PAGES_MAX,
  storeSlots: Math.floor(config.storeBytes / PAGE_BYTES),
  store: { id: 0n, operations: 0n },
  session,
});

/** @throws CodedError PEER_UNREACHABLE, PEER_UNTRUSTED, PEER_STALLED, WIRE_* */
export async function dial(config: SourceConfig, signal: AbortSignal): Promise<readonly Greeted[]> {
  const session = randomBytes(SESSION_BYTES);
  const stripes = Array.from({ length: config.connections }, (_, stripe) => stripe);
  const open: Socket[] = [];
  try {
    return await Promise.all(
      stripes.map(async (stripe) => {
        const socket = await dialOne(config, signal);
        open.push(socket);
        const ours = helloOf(config, stripe, config.connections, session);
        socket.write(encodeHello(ours, sha256));
        const { input, theirs } = await readHello(socket, signal);
        const fits =
          theirs.role === Role.target &&
          theirs.stripe === stripe &&
          Buffer.from(session).equals(theirs.session);
        if (!fits) throw new CodedError("WIRE_GARBAGE", { problem: "a hello that answers another one" });
        return { socket, input, ours, theirs };
      }),
    );
  } catch (error) {
    for (const socket of open) socket.destroy();
    throw error;
  }
}

function dialOne(config: SourceConfig, signal: AbortSignal): Promise<Socket> {
  const { address: host, port } = config.target;
  return new Promise((resolve, reject) => {
    const socket = config.insecure
      ? connect({ host, port })
      : connectTls({
          host,
          port,
          minVersion: "TLSv1.3",
          servername: "",
          ...pem(config, "client"),
          checkServerIdentity: () => undefined,
        });
    const fail = (error: CodedError): void => {
      socket.destroy();
      reject(error);
    };
    const timer = setTimeout(
      () => fail(new CodedError("PEER_UNREACHABLE", { host: config.peerName, why: "no answer" })),
      DIAL_TIMEOUT_MS,
    );
    const abort = (): void => fail(toCodedError(signal.reason));
    signal.addEventListener("abort", abort, { once: true });
    socket.on("close", () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
    });
    socket.on("error", (error: NodeJS.ErrnoException) => {
      const trust = /certificate|self.signed|CERT_/i.test(`${error.message}${error.code ?? ""}`);
      fail(
        trust
          ? new CodedError("PEER_UNTRUSTED", { why: error.message }, { cause: error })
          : new CodedError(
              "PEER_UNREACHABLE",
              { host: config.peerName, why: error.message },
              { cause: error },
            ),
      );
    });
    socket.once(config.insecure ? "connect" : "secureConnect", () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
      if (signal.aborted) return abort();
      const wrong = strangerName(socket, config);
      if (wrong !== undefined) return fail(new CodedError("PEER_UNTRUSTED", { why: wrong }));
      socket.setNoDelay(true);
      resolve(socket);
    });
  });
}

/** @throws CodedError when no port of the range is free. */
export async function listen(config: TargetConfig, signal: AbortSignal): Promise<Listening> {
  const complete = Promise.withResolvers<readonly Greeted[]>();
  complete.promise.catch(() => {}); // told to whoever waits for it; nobody may, yet
  const pending = new Set<Socket>();
  const greeted = new Map<number, Greeted>();
  let refused = 0;
  let closed = false;
  const admit = async (socket: Socket): Promise<void> => {
    socket.on("error", () => socket.destroy());
    if (closed || pending.size >= PENDING_MAX) return void socket.destroy();
    pending.add(socket);
    socket.once("close", () => pending.delete(socket));
    const wrong = strangerName(socket, config);
    if (wrong !== undefined) {
      refused += 1;
      return void socket.destroy();
    }
    socket.setNoDelay(true);
    try {
      const { input, theirs } = await readHello(socket, signal);
      const first = greeted.values().next().value;
      const fits =
        theirs.role === Role.source &&
        !greeted.has(theirs.stripe) &&
        (first === undefined ||
          (Buffer.from(first.theirs.session).equals(theirs.session) &&
            first.theirs.stripes === theirs.stripes));
      if (closed || !fits) throw new CodedError("WIRE_GARBAGE", { problem: "a hello of another session" });
      const ours = helloOf(config, theirs.stripe, theirs.stripes, theirs.session);
      socket.write(encodeHello(ours, sha256));
      greeted.set(theirs.stripe, { socket, input, ours, theirs });
      pending.delete(socket);
      if (greeted.size < theirs.stripes) return;
      complete.resolve([...greeted.values()].sort((one, other) => one.ours.stripe - other.ours.stripe));
      close();
    } catch (error) {
      refused += 1;
      socket.destroy();
      // Before this the peer was authenticated: what it says wrong is worth an answer.
      if (greeted.size > 0 || !config.insecure) complete.reject(error);
    }
  };
  const server = config.insecure
    ? createServer((socket) => void admit(socket))
    : createTlsServer(
        { minVersion: "TLSv1.3", requestCert: true, rejectUnauthorized: true, ...pem(config, "server") },
        (socket) => void admit(socket),
      );
  server.on("tlsClientError", () => (refused += 1));
  const close = (): void => {
    if (closed) return;
    closed = true;
    server.close();
    for (const socket of pending) socket.destroy();
  };
  signal.addEventListener("abort", () => {
    close();
    complete.reject(signal.reason);
  });
  const port = await bind(server, config.listen);
  return { port, greeted: complete.promise, refused: () => refused, close };
}

async function bind(server: Server, { address, portMin, portMax }: TargetConfig["listen"]): Promise<number> {
  for (let port = portMin; port <= portMax; port += 1) {
    const bound = await new Promise<boolean>((resolve, reject) => {
      const failed = (error: NodeJS.ErrnoException): void => {
        server.off("listening", taken);
        if (error.code === "EADDRINUSE") resolve(false);
        else reject(new CodedError("USAGE", { problem: `${address}: ${error.message}` }, { cause: error }));
      };
      const taken = (): void => {
        server.off("error", failed);
        resolve(true);
      };
      server.once("error", failed);
      server.once("listening", taken);
      server.listen(port, address);
    });
    const got = server.address();
    if (bound && got !== null && typeof got === "object") return got.port;
  }
  throw new CodedError("USAGE", {
    problem: `No port from ${portMin} to ${portMax} is free on ${address}.`,
    next: "Give the relay a wider range.",
  });
}

function readHello(
  socket: Socket,
  signal: AbortSignal,
): Promise<{ readonly input: ByteQueue; readonly theirs: Hello }> {
  const input = new ByteQueue();
  return new Promise((resolve, reject) => {
    const end = (error: unknown, theirs?: Hello): void => {
      clearTimeout(timer);
      socket.off("data", heard);
      socket.off("close", gone);
      signal.removeEventListener("abort", abort);
      socket.pause();
      if (theirs === undefined) reject(error);
      else resolve({ input, theirs });
    };
    const heard = (chunk: Buffer): void => {
      input.push(plainBytes(chunk));
      try {
        const theirs = tryReadHello(input, sha256);
        if (theirs !== undefined) end(undefined, theirs);
      } catch (error) {
        end(error);
      }
    };
    const gone = (): void => end(new CodedError("LINK_LOST", { why: "it closed before its hello" }));
    const abort = (): void => end(signal.reason);
    const timer = setTimeout(() => {
      end(
        new CodedError("PEER_STALLED", { host: "at the other end", waited: `${HELLO_TIMEOUT_MS / 1000} s` }),
      );
    }, HELLO_TIMEOUT_MS);
    socket.on("data", heard);
    socket.on("close", gone);
    signal.addEventListener("abort", abort, { once: true });
  });
}

const pem = (
  { tlsDir = "" }: RelayConfig,
  side: "server" | "client",
): { ca: Buffer; cert: Buffer; key: Buffer } => ({
  ca: readFileSync(join(tlsDir, "ca-cert.pem")),
  cert: readFileSync(join(tlsDir, `${side}-cert.pem`)),
  key: readFileSync(join(tlsDir, `${side}-key.pem`)),
});

/** What is wrong with the name on the certificate; the chain was checked by TLS. */
function strangerName(socket: Socket, { insecure, peerName }: RelayConfig): string | undefined {
  if (insecure) return undefined;
  const subject = socket instanceof TLSSocket ? socket.getPeerX509Certificate()?.subject : undefined;
  return subject === `CN=${peerName}` ? undefined : `it is ${subject ?? "no one"}'s, not CN=${peerName}'s`;
}
