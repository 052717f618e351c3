/**
 * A QMP server for tests: enough of a monitor to pass test/contracts/qmp.ts, and able to misbehave on purpose.
 * It keeps a run state, so that `stop` and `cont` cause the events they cause in QEMU.
 */
import { createServer, type Server, type Socket } from "node:net";

type Json = Record<string, unknown>;
/** What a command is answered with: a value, a refusal, or nothing at all (the test answers by `write`). */
export type FakeAnswer =
  | { readonly returns: unknown }
  | { readonly refuse: string; readonly qmpClass?: string }
  | "silence";
export type FakeHandler = (args: Json, server: FakeQmpServer) => FakeAnswer;

export interface FakeQmpOptions {
  readonly handlers?: Readonly<Record<string, FakeHandler>>;
  /** Replaces the greeting line; for peers that do not speak QMP. Empty: say nothing. */
  readonly greeting?: string | Uint8Array;
  readonly capabilities?: readonly string[];
}

const CRLF = "\r\n";

export class FakeQmpServer implements AsyncDisposable {
  readonly received: {
    readonly verb: string;
    readonly command: string;
    readonly args: Json;
    readonly id: unknown;
  }[] = [];
  readonly #server: Server;
  readonly #options: FakeQmpOptions;
  readonly #sockets = new Set<Socket>();
  #running = false;

  constructor(options: FakeQmpOptions) {
    this.#options = options;
    this.#server = createServer((socket) => this.#accept(socket));
  }

  static async listen(path: string, options: FakeQmpOptions = {}): Promise<FakeQmpServer> {
    const fake = new FakeQmpServer(options);
    await new Promise<void>((resolve) => fake.#server.listen(path, resolve));
    return fake;
  }

  /** Raw bytes to every client. */
  write(bytes: string | Uint8Array): void {
    for (const socket of this.#sockets) socket.write(bytes);
  }
  send(message: unknown): void {
    this.write(JSON.stringify(message) + CRLF);
  }
  event(event: string, data?: Json): void {
    const timestamp = { seconds: 1, microseconds: 2 };
    this.send(data === undefined ? { timestamp, event } : { timestamp, event, data });
  }
  /** As a QEMU that was started without -S. */
  started(): void {
    this.#running = true;
  }
  /** As when QEMU is killed. */
  drop(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
  /** As a QEMU that is stopped: what is sent stays in the socket's queue. */
  freeze(): void {
    for (const socket of this.#sockets) socket.pause();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.drop();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    const version = { qemu: { major: 7, minor: 2, micro: 22 }, package: "fake" };
    const hello = { QMP: { version, capabilities: this.#options.capabilities ?? ["oob"] } };
    const greeting = this.#options.greeting ?? JSON.stringify(hello) + CRLF;
    if (greeting !== "") socket.write(greeting);
    let text = "";
    socket.on("data", (chunk) => {
      const lines = (text + chunk.toString()).split("\n");
      // As QEMU does: a command ends with its last brace, whatever follows.
      text = lines.at(-1) ?? "";
      if (isWhole(text)) text = "";
      else lines.pop();
      for (const line of lines) if (line.trim() !== "") this.#command(socket, JSON.parse(line) as Json);
    });
  }

  #command(socket: Socket, message: Json): void {
    const verb = "exec-oob" in message ? "exec-oob" : "execute";
    const command = String(message[verb]);
    const args = (message["arguments"] ?? {}) as Json;
    this.received.push({ verb, command, args, id: message["id"] });
    const handler = this.#options.handlers?.[command];
    const answer = handler === undefined ? this.#builtIn(command, args) : handler(args, this);
    if (answer === "silence") return;
    const body =
      "refuse" in answer
        ? { error: { class: answer.qmpClass ?? "GenericError", desc: answer.refuse } }
        : { return: answer.returns };
    socket.write(JSON.stringify({ ...body, id: message["id"] }) + CRLF);
  }

  #builtIn(command: string, args: Json): FakeAnswer {
    switch (command) {
      case "qmp_capabilities":
        return { returns: {} };
      case "query-version":
        return { returns: { qemu: { major: 7, minor: 2, micro: 22 }, package: "fake" } };
      case "query-status":
        return { returns: { running: this.#running, status: this.#running ? "running" : "paused" } };
      case "cont":
      case "stop":
        // QEMU sends the event before the command's reply.
        this.#running = command === "cont";
        this.event(this.#running ? "RESUME" : "STOP");
        return { returns: {} };
      case "migrate-pause":
        return { refuse: "migrate-pause is currently only supported during postcopy-active state" };
      case "migrate-set-capabilities": {
        const names = (args["capabilities"] as { capability: string }[]).map((c) => c.capability);
        const unknown = names.find((name) => name === "no-such-capability");
        return unknown === undefined ? { returns: {} } : { refuse: `Invalid parameter '${unknown}'` };
      }
      default:
        return { refuse: `The command ${command} has not been found`, qmpClass: "CommandNotFound" };
    }
  }
}

function isWhole(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
