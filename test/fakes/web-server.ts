/**
 * An agent's listener for people, played: serves dist/web and made-up answers, so that pages can be looked at and
 * tested without hosts. `node test/fakes/web-server.ts [vms] [migrations] [port]` prints the address.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { existsSync, readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { extname, join, resolve } from "node:path";

import type { AgentEvent } from "../../src/api/host.ts";
import { RIGHTS, type Right } from "../../src/api/access.ts";
import type { AuditEntry } from "../../src/api/audit.ts";
import type { MigrationView, Progress } from "../../src/api/migration.ts";
import { migrateRequest } from "../../src/api/migration.ts";
import { localRoutes } from "../../src/api/routes.ts";
import { CodedError, toCodedError } from "../../src/std/errors.ts";
import { checked } from "./fixtures.ts";
import { courseOf, latencyOf, recordingOf, reportOfCourse, type CourseSettings } from "./web-course.ts";
import { Fleet, NOW, type FleetSize } from "./web-fleet.ts";

export const TOKEN = "fake-token-of-the-web-tests";
const WEB = resolve(import.meta.dirname, "../../dist/web");
const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
  ".woff2": "font/woff2",
};
/** As strict as a server can be: nothing from elsewhere, nothing inline. */
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const TICK_MS = 100;
/** How often somebody outside tells what a client waits. */
const LATENCY_TICKS = 10;
const MIB = 2 ** 20;

interface Running {
  view: MigrationView;
  readonly course: readonly Progress[];
  readonly settings: CourseSettings;
  readonly startedMs: number;
}

export interface WebServerOptions extends FleetSize {
  readonly rights?: readonly Right[];
  readonly port?: number;
  /** Live migrations begin with made-up VMs already on their way. */
  readonly running?: number;
  /** How much faster than life. */
  readonly speed?: number;
}

export class WebServer implements AsyncDisposable {
  readonly fleet: Fleet;
  readonly asked: string[] = [];
  readonly #options: WebServerOptions;
  readonly #streams = new Set<ServerResponse>();
  readonly #running = new Map<string, Running>();
  readonly #ended = new Map<string, Running>();
  #server: Server | undefined;
  #timer: NodeJS.Timeout | undefined;
  #port: number;
  #eventId = 1;
  #ticks = 0;

  private constructor(options: WebServerOptions) {
    this.#options = options;
    this.#port = options.port ?? 0;
    this.fleet = new Fleet(options);
    for (let index = 0; index < (options.running ?? 0); index += 1) {
      const vm = this.fleet.vms[index * this.#options.hosts];
      if (vm !== undefined)
        this.#start(vm.name, this.fleet.peers[index]?.name ?? "b", index, "pre-copy", index * 2600);
    }
  }

  static async start(options: WebServerOptions): Promise<WebServer> {
    const server = new WebServer(options);
    await server.up();
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}/`;
  }
  get address(): string {
    return `${this.url}#token=${TOKEN}`;
  }

  async up(): Promise<void> {
    const server = createServer((incoming, outgoing) => void this.#serve(incoming, outgoing));
    this.#server = server;
    await new Promise<void>((done) => {
      server.listen(this.#port, "127.0.0.1", done);
    });
    this.#port = (server.address() as AddressInfo).port;
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  /** As when the agent's process ends: every connection is cut and nobody listens. */
  async down(): Promise<void> {
    clearInterval(this.#timer);
    for (const stream of this.#streams) stream.destroy();
    const server = this.#server;
    server?.closeAllConnections();
    await new Promise<void>((done) => {
      if (server === undefined) done();
      else server.close(() => done());
    });
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.down();
  }

  /** Events so far. */
  get published(): number {
    return this.#eventId - 1;
  }

  publish(event: AgentEvent): void {
    const text = `id: ${(this.#eventId += 1)}\ndata: ${JSON.stringify(event)}\n\n`;
    for (const stream of this.#streams) stream.write(text);
  }

  #start(
    vm: string,
    target: string,
    seed: number,
    technique: MigrationView["technique"] = "pre-copy",
    agoMs = 0,
  ): MigrationView {
    const settings: CourseSettings = {
      ramBytes: 4096 * MIB,
      linkBytesPerSecond: 117 * MIB,
      dirtyBytesPerSecond: (18 + 11 * seed) * MIB,
      gain: seed % 3 === 2 ? 1 : 1.9 + 0.4 * seed,
      technique,
    };
    const view: MigrationView = {
      id: `live-${seed + 1}`,
      vm,
      source: this.fleet.facts.name,
      target,
      technique,
      side: "source",
      path: settings.gain === 1 ? "direct" : "relay",
      pathReason:
        settings.gain === 1
          ? "the link is faster than the relays"
          : "the link moves 117 MiB/s and the relays keep up with 240 MiB/s",
      phase: "preparing",
      startedAt: new Date().toISOString(),
    };
    const startedMs = performance.now() - agoMs;
    this.#running.set(view.id, { view, course: courseOf(settings, seed + 3), settings, startedMs });
    return view;
  }

  #tick(): void {
    this.#ticks += 1;
    for (const run of this.#running.values()) {
      const atMs = (performance.now() - run.startedMs) * (this.#options.speed ?? 1);
      const progress = run.course.findLast((one) => one.elapsedMs <= atMs) ?? run.course[0];
      if (progress === undefined) continue;
      const ended = progress.phase === "done";
      const elapsedMs = ended ? progress.elapsedMs : Math.max(progress.elapsedMs, Math.round(atMs));
      run.view = {
        ...run.view,
        phase: progress.phase,
        progress: { ...progress, elapsedMs },
        ...(ended ? { outcome: "done" as const, reason: `${run.view.vm} runs on ${run.view.target}` } : {}),
      };
      if (ended) this.#end(run);
      this.publish({ type: "migration", migration: run.view });
      if (!ended && this.#ticks % LATENCY_TICKS === 0) {
        const latency = latencyOf(run.course, elapsedMs);
        this.publish({ type: "latency", migration: run.view.id, latency });
      }
    }
  }

  #end(run: Running): void {
    this.#running.delete(run.view.id);
    this.#ended.set(run.view.id, run);
  }

  async #serve(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const url = new URL(incoming.url ?? "/", "http://x");
    try {
      if (incoming.method === "GET" && this.#file(opens(incoming, url) ? "/" : url.pathname, outgoing))
        return;
      this.asked.push(`${incoming.method} ${url.pathname}${url.search}`);
      if (incoming.headers.authorization !== `Bearer ${TOKEN}`) {
        return problem(outgoing, 401, "TOKEN_INVALID", "The token is not known here.", "Paste a valid one.");
      }
      if (url.pathname === "/events") return this.#stream(outgoing);
      const chunks: Buffer[] = [];
      for await (const chunk of incoming as AsyncIterable<Buffer>) chunks.push(chunk);
      const text = Buffer.concat(chunks).toString();
      const [status, answer] = this.#answer(
        incoming.method ?? "GET",
        url,
        text === "" ? undefined : JSON.parse(text),
      );
      outgoing.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(answer));
    } catch (error) {
      const coded = toCodedError(error);
      problem(outgoing, coded.status, coded.code, coded.message, coded.next);
    }
  }

  #file(path: string, outgoing: ServerResponse): boolean {
    const file = join(WEB, path === "/" ? "index.html" : path);
    if (!file.startsWith(WEB) || !existsSync(file) || extname(file) === "") return false;
    outgoing.writeHead(200, {
      "content-type": TYPES[extname(file)] ?? "application/octet-stream",
      "content-security-policy": POLICY,
    });
    outgoing.end(readFileSync(file));
    return true;
  }

  #stream(outgoing: ServerResponse): void {
    outgoing.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
    outgoing.write(":\n\n");
    this.#streams.add(outgoing);
    outgoing.on("close", () => this.#streams.delete(outgoing));
  }

  #view(id: string): MigrationView {
    const view =
      this.#running.get(id)?.view ??
      this.#ended.get(id)?.view ??
      this.fleet.history.find((one) => one.id === id);
    if (view === undefined) throw new CodedError("MIGRATION_UNKNOWN", { migration: id });
    return view;
  }

  #all(): readonly MigrationView[] {
    return [...this.#running.values(), ...this.#ended.values()]
      .map((run) => run.view)
      .concat(this.fleet.history);
  }

  #answer(method: string, url: URL, body: unknown): [number, unknown] {
    const [, head, id = "", action] = url.pathname.split("/");
    const asked = `${method} /${head}${id === "" ? "" : "/:id"}${action === undefined ? "" : `/${action}`}`;
    switch (asked) {
      case "GET /host":
        return [200, { facts: this.fleet.facts, peers: this.fleet.peers }];
      case "GET /vms":
        return [200, this.#vms()];
      case "GET /whoami":
        return [
          200,
          {
            kind: "token",
            name: "alice",
            rights: this.#options.rights ?? RIGHTS,
            expiresAt: null,
            host: this.fleet.facts.name,
          },
        ];
      case "POST /vms/:id/check":
        return [
          200,
          {
            ...checked((body as { target: string }).target !== "rack1-c"),
            vm: id,
            source: this.fleet.facts.name,
            target: (body as { target: string }).target,
          },
        ];
      case "POST /vms/:id/migrations": {
        const request = migrateRequest.parse(body);
        const technique = request.technique === "auto" ? "pre-copy" : request.technique;
        return [202, this.#start(id, request.target, 4 + this.#running.size, technique)];
      }
      case "GET /migrations":
        return [200, page(url, this.#all())];
      case "GET /migrations/:id":
        return [200, this.#view(id)];
      case "GET /migrations/:id/report": {
        const view = this.#view(id);
        if (view.outcome === undefined) throw new CodedError("NOT_FOUND", { path: url.pathname });
        const [course, gain] = this.#courseOf(id);
        return [200, localRoutes.report.answer.parse(reportOfCourse(view, course, gain))];
      }
      case "GET /migrations/:id/recording":
        return [200, recordingOf(this.#view(id), this.#courseOf(id)[0])];
      case "POST /migrations/:id/cancel": {
        const run = this.#running.get(id);
        if (run === undefined) throw new CodedError("TOO_LATE", { migration: id, phase: "done" });
        run.view = {
          ...run.view,
          phase: "aborted",
          outcome: "cancelled",
          code: "CANCELLED",
          reason: "it was cancelled",
        };
        this.#end(run);
        this.publish({ type: "migration", migration: run.view });
        return [202, run.view];
      }
      case "POST /migrations/:id/recover": {
        const { outcome: _, reason: __, code: ___, ...view } = this.#view(id);
        const migration = { ...view, phase: "handing-over" as const };
        this.publish({ type: "migration", migration });
        return [202, migration];
      }
      case "GET /audit":
        return [200, page(url, auditLog())];
      case "GET /audit/:id":
        return [
          200,
          { ok: true, entries: 240, from: 1, head: { seq: 240, hash: "0".repeat(64) }, broken: null },
        ];
      default:
        throw new CodedError("NOT_FOUND", { path: url.pathname });
    }
  }

  #courseOf(id: string): [readonly Progress[], number] {
    const run = this.#running.get(id) ?? this.#ended.get(id);
    if (run === undefined) return [this.fleet.course(id), this.fleet.settings(id).gain];
    const until = run.view.progress?.elapsedMs ?? 0;
    return [run.course.filter((one) => one.elapsedMs <= until), run.settings.gain];
  }

  #vms() {
    const moving = new Map([...this.#running.values()].map(({ view }) => [view.vm, view.id]));
    return this.fleet.vms.map((vm) =>
      moving.has(vm.name) ? { ...vm, state: "migrating", migration: moving.get(vm.name) } : vm,
    );
  }
}

/** As an agent does: a browser that opens any address gets the dashboard. */
const opens = (incoming: IncomingMessage, url: URL): boolean =>
  incoming.headers.accept?.includes("text/html") === true && extname(url.pathname) === "";

function page<T>(url: URL, all: readonly T[]): { items: readonly T[]; next: string | null } {
  const limit = Number(url.searchParams.get("limit") ?? 100);
  const from = Number(url.searchParams.get("cursor") ?? 0);
  const next = from + limit;
  return { items: all.slice(from, next), next: next < all.length ? String(next) : null };
}

const AUDITED = ["migrate", "cancel", "createToken", "run", "stop", "recover"];
const auditLog = (): readonly AuditEntry[] =>
  Array.from({ length: 240 }, (_, index) => ({
    seq: 240 - index,
    at: new Date(NOW - index * 1_234_567).toISOString(),
    who: index % 7 === 3 ? "nobody 192.0.2.7" : index % 3 === 0 ? "token alice" : "socket",
    what: AUDITED[index % AUDITED.length] ?? "migrate",
    to: `/vms/db-${1 + (index % 50)}/migrations`,
    outcome: index % 7 === 3 ? "refused" : "done",
    code: index % 7 === 3 ? "TOKEN_INVALID" : null,
    times: index % 14 === 3 ? 37 : 1,
    previous: "0".repeat(64),
    hash: "0".repeat(64),
  }));

function problem(outgoing: ServerResponse, status: number, code: string, detail: string, next: string): void {
  outgoing.writeHead(status, { "content-type": "application/problem+json" });
  outgoing.end(
    JSON.stringify({
      type: `urn:godwit:error:${code}`,
      title: code,
      status,
      code,
      detail,
      next,
      details: {},
    }),
  );
}

if (import.meta.main) {
  const [vms = 500, migrations = 10_000, port = 0] = process.argv.slice(2).map(Number);
  const server = await WebServer.start({ hosts: 12, vms, migrations, port, running: 3 });
  console.log(server.address);
}
