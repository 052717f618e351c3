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
import type { FrameCheck } from "../wire/frame.ts";
import { encodeHello, type Hello, Role, SESSION_BYTES, type StoreOffer } from "../wire/hello.ts";
import { BATCH_PAGES_MAX, FRAME_PAYLOAD_BYTES_MAX } from "../wire/limits.ts";
import { PAGE_BYTES } from "../page/types.ts";
import type { RelayConfig, RelayTarget, SourceConfig, TargetConfig } from "./config.ts";
import {
  CALLED_TIMEOUT_MS,
  DIAL_TIMEOUT_MS,
  HELLO_TIMEOUT_MS,
  PENDING_MAX,
  WINDOW_FRAMES_ASKED,
} from "./limits.ts";
import { crc32, sha256 } from "./bytes.ts";
import { Inlet } from "./inlet.ts";
import { withBuffer } from "./qemu-socket.ts";
import type { Slots } from "./slots.ts";

export interface Greeted {
  readonly socket: Socket;
  readonly inlet: Inlet;
  /** undefined: TLS guards what travels. */
  readonly crc32: FrameCheck;
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

const helloOf = (
  config: RelayConfig,
  offer: StoreOffer,
  { stripe, stripes, session }: Pick<Hello, "stripe" | "stripes" | "session">,
): Hello => ({
  role: config.side === "source" ? Role.source : Role.target,
  stripe,
  stripes,
  codecs: CODECS_UNDERSTOOD,
  payloadBytesMax: FRAME_PAYLOAD_BYTES_MAX,
  windowFrames: WINDOW_FRAMES_ASKED,
  batchPages: BATCH_PAGES_MAX,
  storeSlots: Math.floor(config.storeBytes / PAGE_BYTES),
  ...offer,
  session,
});

/** What is handed to the link besides its configuration. */
export interface LinkParts {
  readonly slots: Slots;
  /** For the hello, which waits for it. Never rejects. */
  readonly offer: Promise<StoreOffer>;
  readonly signal: AbortSignal;
}

/** @throws CodedError PEER_UNREACHABLE, PEER_UNTRUSTED, PEER_STALLED, WIRE_* */
export async function dial(
  config: SourceConfig,
  target: RelayTarget,
  { slots, offer, signal }: LinkParts,
): Promise<readonly Greeted[]> {
  const session = randomBytes(SESSION_BYTES);
  const stripes = Array.from({ length: config.connections }, (_, stripe) => stripe);
  const open: Socket[] = [];
  // One that fails ends the others, also those that are not up yet.
  const others = new AbortController();
  const stop = AbortSignal.any([signal, others.signal]);
  try {
    return await Promise.all(
      stripes.map(async (stripe) => {
        const check = checkOf(config);
        const inlet = new Inlet(check, slots);
        const socket = await dialOne(config, target, inlet, stop);
        open.push(socket);
        const ours = helloOf(config, await offer, { stripe, stripes: config.connections, session });
        socket.write(encodeHello(ours, sha256));
        const theirs = await readHello(socket, inlet, stop);
        const fits =
          theirs.role === Role.target &&
          theirs.stripe === stripe &&
          Buffer.from(session).equals(theirs.session);
        if (!fits) throw new CodedError("WIRE_GARBAGE", { problem: "a hello that answers another one" });
        return { socket, inlet, crc32: check, ours, theirs };
      }),
    );
  } catch (error) {
    others.abort(error);
    for (const socket of open) socket.destroy();
    throw error;
  }
}

function dialOne(
  config: SourceConfig,
  { address: host, port }: RelayTarget,
  inlet: Inlet,
  signal: AbortSignal,
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = config.insecure
      ? connect({ host, port, onread: inlet.onread })
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
export async function listen(config: TargetConfig, { slots, offer, signal }: LinkParts): Promise<Listening> {
  const complete = Promise.withResolvers<readonly Greeted[]>();
  complete.promise.catch(() => {}); // told to whoever waits for it; nobody may, yet
  const pending = new Set<Socket>();
  const greeted = new Map<number, Greeted>();
  let refused = 0;
  let closed = false;
  /** All of the connections or none: what was let in is hung up on as well. Once they are complete they are the wire's. */
  const giveUp = (error: unknown): void => {
    if (closed) return;
    complete.reject(error);
    close();
    for (const { socket } of greeted.values()) socket.destroy();
  };
  const within = (ms: number): NodeJS.Timeout =>
    setTimeout(
      () => giveUp(new CodedError("PEER_STALLED", { host: config.peerName, waited: `${ms / 1000} s` })),
      ms,
    );
  let timer = within(CALLED_TIMEOUT_MS);
  const check = checkOf(config);
  const admit = async (socket: Socket, inlet: Inlet): Promise<void> => {
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
      const theirs = await readHello(socket, inlet, signal);
      const offered = await offer;
      const first = greeted.values().next().value;
      const fits =
        theirs.role === Role.source &&
        !greeted.has(theirs.stripe) &&
        (first === undefined ||
          (Buffer.from(first.theirs.session).equals(theirs.session) &&
            first.theirs.stripes === theirs.stripes));
      if (closed || !fits) throw new CodedError("WIRE_GARBAGE", { problem: "a hello of another session" });
      const ours = helloOf(config, offered, theirs);
      socket.write(encodeHello(ours, sha256));
      greeted.set(theirs.stripe, { socket, inlet, crc32: check, ours, theirs });
      pending.delete(socket);
      if (first === undefined) {
        clearTimeout(timer);
        timer = within(HELLO_TIMEOUT_MS);
      }
      if (greeted.size < theirs.stripes) return;
      complete.resolve([...greeted.values()].sort((one, other) => one.ours.stripe - other.ours.stripe));
      close();
    } catch (error) {
      refused += 1;
      socket.destroy();
      // Before this the peer was authenticated: what it says wrong is worth an answer.
      if (greeted.size > 0 || !config.insecure) giveUp(error);
    }
  };
  const server = config.insecure
    ? createServer({ pauseOnConnect: true }, (connection) => {
        const inlet = new Inlet(check, slots);
        void admit(withBuffer(connection, inlet.onread), inlet);
      })
    : createTlsServer(
        { minVersion: "TLSv1.3", requestCert: true, rejectUnauthorized: true, ...pem(config, "server") },
        (socket) => void admit(socket, new Inlet(check, slots)),
      );
  server.on("tlsClientError", () => (refused += 1));
  const close = (): void => {
    if (closed) return;
    closed = true;
    clearTimeout(timer);
    server.close();
    for (const socket of pending) socket.destroy();
  };
  signal.addEventListener("abort", () => giveUp(signal.reason));
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

/** Over TLS nothing is checked again: its own tags are stronger. */
const checkOf = ({ insecure }: RelayConfig): FrameCheck => (insecure ? crc32 : undefined);

function readHello(socket: Socket, inlet: Inlet, signal: AbortSignal): Promise<Hello> {
  return new Promise((resolve, reject) => {
    const end = (error: unknown, theirs?: Hello): void => {
      clearTimeout(timer);
      socket.off("data", heard);
      socket.off("close", gone);
      signal.removeEventListener("abort", abort);
      socket.pause();
      if (theirs === undefined) reject(error);
      else resolve(theirs);
    };
    const heard = (chunk: Buffer): void => {
      const rest = inlet.push(chunk);
      if (rest.byteLength > 0) socket.unshift(rest);
    };
    const gone = (): void => end(new CodedError("LINK_LOST", { why: "it closed before its hello" }));
    const abort = (): void => end(signal.reason);
    const timer = setTimeout(() => {
      end(
        new CodedError("PEER_STALLED", { host: "at the other end", waited: `${HELLO_TIMEOUT_MS / 1000} s` }),
      );
    }, HELLO_TIMEOUT_MS);
    inlet.tell({
      hello: (theirs) => end(undefined, theirs),
      heard: () => {},
      frame: () => {},
      failed: (error) => end(error),
    });
    if (socket instanceof TLSSocket) socket.on("data", heard);
    else socket.resume();
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
