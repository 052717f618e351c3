/**
 * /metrics and /readyz of an agent: gathers readings from the store, the disk and the peers, and hands them to the pure
 * parts (metrics.ts, metrics-kept.ts, health.ts). Who may ask is decided by whoever mounts it on a listener.
 */
import { accessSync, constants, readFileSync } from "node:fs";
import type { Server } from "node:net";
import { delimiter, join } from "node:path";

import type { FastifyInstance } from "fastify";
import { z } from "zod";

import type { MigrationView } from "../api/migration.ts";
import type { Report } from "../api/report.ts";
import type { Route } from "../api/routes.ts";
import { probeQemu } from "../qemu/probe.ts";
import { CodedError, toCodedError } from "../std/errors.ts";
import { readCertificates } from "./certificates.ts";
import type { AgentConfig } from "./config.ts";
import type { EventHub } from "./events.ts";
import { readiness, type Readiness } from "./health.ts";
import { type MetricsState, samplesOf } from "./metrics.ts";
import { type Kept, keptAfter, keptAtStart, withoutOld } from "./metrics-kept.ts";
import { METRICS_TYPE, metricsText, processText } from "./metrics-text.ts";
import { Peer } from "./peers.ts";
import type { MigrationRecord, Store } from "./store.ts";
import { sourceMigrationView, targetMigrationView } from "./views.ts";

const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
  version: string;
};
/** Records looked at when the agent starts: enough for everything that can still be open. */
const OPEN_MAX = 1000;
/** Several scrapers and probes share one answer of a peer, of QEMU, of the disk. */
const PEER_FRESH_MS = 10_000;
const PEER_TIMEOUT_MS = 2_000;
const QEMU_FRESH_MS = 30_000;
const STORE_FRESH_MS = 5_000;

/** A question every agent's listener answers without work; /peer/host would make it probe its QEMU. */
const peerAlive = {
  method: "GET",
  path: "/healthz",
  summary: "Whether a peer's agent lives",
  right: "public",
  status: 200,
  answer: z.object({ status: z.string() }),
} as const satisfies Route;

export interface ObservabilityDeps {
  readonly config: AgentConfig;
  readonly store: Store;
  readonly hub: EventHub;
  readonly vms: () => Promise<MetricsState["vms"]>;
}

/** One per agent, made before the agent resumes, so that no event is missed. */
export class Observability {
  readonly #deps: ObservabilityDeps;
  readonly #listeners = new Map<string, Server>();
  readonly #unsubscribe: () => void;
  #peers: readonly Peer[] | undefined;
  #kept: Kept;

  constructor(deps: ObservabilityDeps) {
    this.#deps = deps;
    const { config, store, hub } = deps;
    this.#kept = keptAtStart(
      store.migrations(OPEN_MAX).items.map((record) => viewOf(record, config.name, store)),
      store.vms(),
    );
    this.#unsubscribe = hub.subscribe(({ event }) => {
      this.#kept = keptAfter(this.#kept, event, Date.now());
    });
    void processText();
  }

  /** A listener that /readyz asks for. */
  watch(name: string, server: Server): void {
    this.#listeners.set(name, server);
  }

  /** One that is not to be. */
  ignore(name: string): void {
    this.#listeners.delete(name);
  }

  close(): void {
    this.#unsubscribe();
    for (const peer of this.#peers ?? []) peer.close();
  }

  async metrics(): Promise<string> {
    const { config, store, vms } = this.#deps;
    const qemu = await this.#qemu();
    const shown = withoutOld(this.#kept.migrations, Date.now());
    const state: MetricsState = {
      host: config.name,
      version,
      qemuVersion: "version" in qemu ? qemu.version : "",
      vms: await vms(),
      peers: await this.#peersUp(),
      certificates: readCertificates(config.tlsDir, config.name).flatMap(({ name, expiresAtMs }) =>
        expiresAtMs === null ? [] : [{ name, expiresAtMs }],
      ),
      // Read at each scrape: an observer may add to a report after the end.
      migrations: [...shown.values()].map(({ view }) => ({ view, report: reportOf(store, view.id) })),
      ended: this.#kept.ended,
    };
    return (await metricsText(samplesOf(state))) + (await processText());
  }

  async ready(): Promise<Readiness> {
    const { config } = this.#deps;
    return readiness({
      nowMs: Date.now(),
      stateDir: config.stateDir,
      storeProblem: this.#storeProblem(),
      qemu: await this.#qemu(),
      certificates: readCertificates(config.tlsDir, config.name),
      listeners: [...this.#listeners].map(([name, server]) => ({ name, up: server.listening })),
    });
  }

  readonly #storeProblem = remembered(STORE_FRESH_MS, (): string | null => {
    try {
      this.#deps.store.rewrite();
      return null;
    } catch (error) {
      return (error as Error).message;
    }
  });

  readonly #qemu = remembered(QEMU_FRESH_MS, async () => {
    try {
      return { version: await this.#qemuVersion() };
    } catch (error) {
      const { message: problem, next } = toCodedError(error);
      return { problem, next };
    }
  });

  #probed: string | undefined;

  /** Asked of QEMU itself once; afterwards only whether it is still there. */
  async #qemuVersion(): Promise<string> {
    const { qemu } = this.#deps.config;
    if (!isProgram(qemu)) throw new CodedError("QEMU_MISSING", { binary: qemu });
    return (this.#probed ??= (await probeQemu(qemu)).version);
  }

  readonly #peersUp = remembered(PEER_FRESH_MS, async () => {
    const { peers, tlsDir } = this.#deps.config;
    try {
      this.#peers ??= peers.map((peer) => new Peer(peer, tlsDir));
    } catch {
      return []; // no certificates: /readyz says so
    }
    return Promise.all(
      this.#peers.map(async (peer) => {
        const answer = peer.call(peerAlive, { timeoutMs: PEER_TIMEOUT_MS });
        return {
          name: peer.name,
          up: await answer.then(
            () => true,
            () => false,
          ),
        };
      }),
    );
  });
}

/** Ended, for the source, is what has its report. */
const viewOf = (record: MigrationRecord, host: string, store: Store): MigrationView =>
  record.side === "target"
    ? targetMigrationView(record, host)
    : sourceMigrationView(record, host, reportOf(store, record.id) !== undefined);

function reportOf(store: Store, id: string): Report | undefined {
  try {
    return store.report(id);
  } catch {
    return undefined; // one unreadable report must not take the scrape with it
  }
}

/** What `make` last answered, as long as it is fresh. */
function remembered<T>(freshMs: number, make: () => T): () => T {
  let last: { readonly atMs: number; readonly value: T } | undefined;
  return () => {
    const now = performance.now();
    if (last === undefined || now - last.atMs > freshMs) last = { atMs: now, value: make() };
    return last.value;
  };
}

function isProgram(binary: string): boolean {
  const places = binary.includes("/")
    ? [binary]
    : (process.env["PATH"] ?? "").split(delimiter).map((folder) => join(folder, binary));
  return places.some((place) => {
    try {
      accessSync(place, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Mounts /metrics, for whoever may read here, and /readyz. /healthz is on every listener already. */
export function registerObservability(
  server: FastifyInstance,
  observability: Observability,
  { openMetrics }: { readonly openMetrics: boolean },
): void {
  const hidden = { schema: { hide: true } };
  server.get(
    "/metrics",
    { ...hidden, config: { access: openMetrics ? "public" : "read" } },
    async (_request, reply) => {
      const text = await observability.metrics();
      return reply.type(METRICS_TYPE).send(text);
    },
  );
  server.get("/readyz", { ...hidden, config: { access: "public" } }, async (_request, reply) => {
    const answer = await observability.ready();
    return reply.code(answer.ready ? 200 : 503).send(answer);
  });
}
