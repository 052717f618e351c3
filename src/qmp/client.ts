/**
 * A QMP connection over a unix socket: who gets which reply, and what a caller is told when there is none.
 * It knows no command; `commands.ts` has their types, `parse.ts` the bytes.
 */
import { createConnection, type Socket } from "node:net";

import { CodedError } from "../std/errors.ts";
import type { QmpCommands } from "./commands.ts";
import { EventQueue } from "./event-queue.ts";
import { type QmpMessage, QmpReader, type QmpVersion } from "./parse.ts";
import type { EventStream, ExecuteOptions, Qmp } from "./types.ts";

export const EXECUTE_TIMEOUT_MS = 10_000;
export const CONNECT_TIMEOUT_MS = 10_000;

export interface ConnectOptions {
  readonly signal?: AbortSignal;
  /** For connect, greeting and negotiation together. */
  readonly timeoutMs?: number;
}

interface Pending {
  readonly command: string;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** @throws CodedError QMP_LOST when nobody listens or the peer leaves, QMP_PROTOCOL, QMP_TIMEOUT; or the signal's reason. */
export async function connectQmp(socketPath: string, options: ConnectOptions = {}): Promise<Qmp> {
  const timeoutMs = options.timeoutMs ?? CONNECT_TIMEOUT_MS;
  const client = new QmpClient(createConnection(socketPath));
  try {
    await client.negotiate({ ...options, timeoutMs });
    return client;
  } catch (error) {
    await client[Symbol.asyncDispose]();
    throw error;
  }
}

class QmpClient implements Qmp {
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #reader = new QmpReader();
  readonly #pending = new Map<number, Pending>();
  readonly #queues = new Set<EventQueue>();
  readonly #greeting = Promise.withResolvers<Extract<QmpMessage, { kind: "greeting" }>>();
  #nextId = 1;
  #outOfBand = false;
  #version: QmpVersion | undefined;
  /** Why the connection is unusable; set once. */
  #end: { readonly cause: unknown } | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.#greeting.promise.catch(() => {}); // Also awaited in negotiate(); a caller that aborted no longer listens.
    this.closed = new Promise((resolve) => socket.once("close", () => resolve()));
    socket.on("data", (chunk) => this.#receive(chunk));
    socket.on("error", (error) => this.#finish(error));
    socket.on("close", () => this.#finish(undefined));
  }

  get version(): QmpVersion {
    if (this.#version === undefined) throw new Error("the version is known after the greeting");
    return this.#version;
  }

  async negotiate(options: ConnectOptions & { timeoutMs: number }): Promise<void> {
    const greeting = await within(this.#greeting.promise, "connect", options, () => {});
    this.#version = greeting.version;
    // QMP specification, "Capabilities negotiation": only what the greeting offers may be enabled.
    const oob = greeting.capabilities.includes("oob");
    await this.#send("qmp_capabilities", oob ? { enable: ["oob"] } : {}, options);
    this.#outOfBand = oob;
  }

  async execute<C extends keyof QmpCommands>(
    command: C,
    args: QmpCommands[C]["arguments"],
    options: ExecuteOptions = {},
  ): Promise<QmpCommands[C]["returns"]> {
    return this.#send(command, args, options);
  }

  events(only?: readonly string[]): EventStream {
    const queue = new EventQueue(only, (q) => this.#queues.delete(q));
    if (this.#end === undefined) this.#queues.add(queue);
    else queue.end();
    return queue;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.destroy();
    await this.closed;
  }

  #send(command: string, args: unknown, options: ExecuteOptions): Promise<unknown> {
    options.signal?.throwIfAborted();
    if (this.#end !== undefined) return Promise.reject(this.#lost(command, this.#end.cause, true));
    const id = this.#nextId++;
    const verb = options.outOfBand === true && this.#outOfBand ? "exec-oob" : "execute";
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#pending.set(id, { command, resolve, reject });
    // The line break comes first, so that a command ends with its last brace: who left a byte of it unread cannot
    // have obeyed it.
    this.#socket.write(`\n${JSON.stringify({ [verb]: command, arguments: args, id })}`);
    const limits = { ...options, timeoutMs: options.timeoutMs ?? EXECUTE_TIMEOUT_MS };
    // A reply that comes after we stopped waiting finds no entry and is dropped.
    return within(promise, command, limits, () => this.#pending.delete(id));
  }

  #receive(chunk: Buffer): void {
    const atNs = process.hrtime.bigint();
    try {
      for (const message of this.#reader.push(chunk)) this.#handle(message, atNs);
    } catch (error) {
      this.#finish(error);
    }
  }

  #handle(message: QmpMessage, atNs: bigint): void {
    switch (message.kind) {
      case "greeting":
        return this.#greeting.resolve(message);
      case "event":
        for (const queue of this.#queues) queue.push({ event: message.event, data: message.data, atNs });
        return;
      case "reply":
      case "refusal": {
        // QMP specification, "Command responses": clients drop replies with an id they do not know.
        const pending = typeof message.id === "number" ? this.#pending.get(message.id) : undefined;
        if (pending === undefined) return;
        if (message.kind === "reply") return pending.resolve(message.value);
        const { qmpClass, desc } = message;
        pending.reject(new CodedError("QMP_REFUSED", { command: pending.command, qmpClass, desc }));
      }
    }
  }

  #lost(command: string, cause: unknown, unread = false): CodedError {
    if (cause instanceof CodedError) return cause;
    return new CodedError("QMP_LOST", { command, unread }, { cause });
  }

  #finish(cause: unknown): void {
    if (this.#end !== undefined) return;
    this.#end = { cause };
    this.#socket.destroy();
    this.#greeting.reject(this.#lost("connect", cause));
    for (const [id, pending] of this.#pending) {
      const unread = id === this.#nextId - 1 && leftUnread(cause);
      pending.reject(this.#lost(pending.command, cause, unread));
    }
    this.#pending.clear();
    for (const queue of this.#queues) queue.end();
    this.#queues.clear();
  }
}

/** Of the last command sent: the other end was closed already, or closed with bytes of it in its queue (unix(7)). */
const leftUnread = (cause: unknown): boolean =>
  ["EPIPE", "ECONNRESET"].includes(String((cause as NodeJS.ErrnoException | undefined)?.code));

/** The promise, or the signal's reason, or QMP_TIMEOUT; `forget` runs when nobody waits any more. */
async function within<T>(
  promise: Promise<T>,
  command: string,
  limits: { readonly signal?: AbortSignal; readonly timeoutMs: number },
  forget: () => void,
): Promise<T> {
  const { signal, timeoutMs } = limits;
  const gaveUp = Promise.withResolvers<never>();
  const onAbort = (): void => gaveUp.reject(signal?.reason);
  const timer = setTimeout(
    () => gaveUp.reject(new CodedError("QMP_TIMEOUT", { command, timeoutMs })),
    timeoutMs,
  );
  signal?.addEventListener("abort", onAbort, { once: true });
  if (signal?.aborted === true) onAbort();
  try {
    return await Promise.race([promise, gaveUp.promise]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
    forget();
  }
}
