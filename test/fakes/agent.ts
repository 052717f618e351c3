/**
 * An agent that answers what a test told it to: HTTP on a unix socket, one handler per route, events on request.
 * What a real agent answers is checked in test/real/.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { Answer, RouteKey } from "../../src/api/client.ts";
import type { AgentEvent } from "../../src/api/host.ts";
import { localRoutes, type Route } from "../../src/api/routes.ts";
import { CodedError, toCodedError } from "../../src/std/errors.ts";

export interface Asked {
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  readonly body: unknown;
}

export type Handlers = {
  [K in RouteKey]?: (asked: Asked) => Answer<K> | Promise<Answer<K>>;
};

/** Writes an answer of its own making, to play a broken or foreign server. */
export type Raw = (incoming: IncomingMessage, outgoing: ServerResponse) => void;

export class FakeAgent implements AsyncDisposable {
  readonly socketPath: string;
  readonly calls: { readonly key: RouteKey; readonly asked: Asked }[] = [];
  readonly lastEventIds: (string | undefined)[] = [];
  readonly #folder: string;
  readonly #handlers: Handlers;
  readonly #raw: Raw | undefined;
  readonly #streams = new Set<ServerResponse>();
  #server: Server | undefined;
  #eventId = 0;

  private constructor(handlers: Handlers, raw: Raw | undefined) {
    this.#folder = mkdtempSync(join(tmpdir(), "godwit-fake-"));
    this.socketPath = join(this.#folder, "agent.sock");
    this.#handlers = handlers;
    this.#raw = raw;
  }

  static async start(handlers: Handlers, raw?: Raw): Promise<FakeAgent> {
    const agent = new FakeAgent(handlers, raw);
    await agent.up();
    return agent;
  }

  async up(): Promise<void> {
    const server = createServer((incoming, outgoing) => void this.#serve(incoming, outgoing));
    this.#server = server;
    await new Promise<void>((resolve) => {
      server.listen(this.socketPath, resolve);
    });
  }

  /** As when the agent's process ends: every connection is cut and nobody listens. */
  async down(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    server?.closeAllConnections();
    this.#streams.clear();
    await new Promise<void>((resolve) => {
      if (server === undefined) resolve();
      else server.close(() => resolve());
    });
  }

  /** Streams open now. */
  get listeners(): number {
    return this.#streams.size;
  }

  send(event: AgentEvent): void {
    this.#eventId += 1;
    for (const stream of this.#streams) {
      stream.write(`id: ${this.#eventId}\ndata: ${JSON.stringify(event)}\n\n`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.down();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #serve(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    if (this.#raw !== undefined) return this.#raw(incoming, outgoing);
    const url = new URL(incoming.url ?? "/", "http://agent");
    if (url.pathname === "/events") return this.#stream(incoming, outgoing);
    try {
      const [key, params] = match(incoming.method ?? "GET", url.pathname);
      const chunks: Buffer[] = [];
      for await (const chunk of incoming as AsyncIterable<Buffer>) chunks.push(chunk);
      const text = Buffer.concat(chunks).toString();
      const asked: Asked = {
        params,
        query: url.searchParams,
        body: text === "" ? undefined : JSON.parse(text),
      };
      this.calls.push({ key, asked });
      const handler = this.#handlers[key];
      if (handler === undefined) throw new CodedError("NOT_FOUND", { path: url.pathname });
      const answer = await handler(asked);
      outgoing.writeHead(localRoutes[key].status, { "content-type": "application/json" });
      outgoing.end(JSON.stringify(answer));
    } catch (error) {
      const refused = toCodedError(error);
      outgoing.writeHead(refused.status, { "content-type": "application/problem+json" });
      outgoing.end(
        JSON.stringify({
          type: "about:blank",
          title: refused.code,
          status: refused.status,
          code: refused.code,
          detail: refused.message,
          next: refused.next,
          details: refused.details,
        }),
      );
    }
  }

  #stream(incoming: IncomingMessage, outgoing: ServerResponse): void {
    this.lastEventIds.push(incoming.headers["last-event-id"] as string | undefined);
    outgoing.writeHead(200, { "content-type": "text/event-stream" });
    outgoing.write(": here\n\n");
    this.#streams.add(outgoing);
    outgoing.on("close", () => this.#streams.delete(outgoing));
  }
}

function match(method: string, path: string): [RouteKey, Record<string, string>] {
  for (const [key, route] of Object.entries(localRoutes) as [RouteKey, Route][]) {
    const pattern = new RegExp(`^${route.path.replaceAll(/:(\w+)/g, "(?<$1>[^/]+)")}$`);
    const found = route.method === method ? pattern.exec(path) : null;
    if (found !== null) return [key, { ...found.groups }];
  }
  throw new CodedError("NOT_FOUND", { path });
}

/** Waits until a condition holds, looking often; for what announces itself by no event. */
export async function until(condition: () => boolean, what: string, limitMs = 10_000): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`never happened: ${what}`);
    await new Promise((resolve) => {
      setTimeout(resolve, 5);
    });
  }
}
