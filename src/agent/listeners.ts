/**
 * The agent's three listeners, and how each knows who asks: the unix socket by its mode, peers by their certificates,
 * people and programs by their tokens. Plain HTTP is spoken on loopback only.
 */
import { X509Certificate } from "node:crypto";
import { chmodSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";

import type { FastifyInstance } from "fastify";

import { openapi } from "../api/openapi.ts";
import { peerRoutes } from "../api/peer-routes.ts";
import { localRoutes } from "../api/routes.ts";
import type { Agent } from "./agent.ts";
import type { AuditLog } from "./audit.ts";
import type { AgentConfig } from "./config.ts";
import { registerEvents, type StreamOptions } from "./event-stream.ts";
import { type Handlers, makeServer, register, type RouteParts, type ServerParts } from "./http.ts";
import { bearer, ON_SOCKET, peerIdentity } from "./identity.ts";
import { Idempotency } from "./idempotency.ts";
import type { Log } from "./log.ts";
import { type Observability, registerObservability } from "./observability.ts";
import { office } from "./office.ts";
import { isLoopback, namesOf, refuseStrangers } from "./origin.ts";
import type { Recorder } from "./recorder.ts";
import type { Store } from "./store.ts";
import { Tokens } from "./tokens.ts";
import { serveDashboard } from "./web.ts";

/** Where people reach the agent when its configuration says nothing. */
export const HTTP_DEFAULT = { address: "127.0.0.1", port: 7466, names: [], openMetrics: false } as const;

export interface Served {
  readonly config: AgentConfig;
  readonly agent: Agent;
  readonly store: Store;
  readonly audit: AuditLog;
  readonly recorder: Recorder;
  readonly observability: Observability;
  readonly log: Log;
  /** Of event streams; tests do not wait that long. */
  readonly heartbeatMs?: number;
}

export interface Listeners {
  readonly local: FastifyInstance;
  readonly forPeers: FastifyInstance;
  /** Absent when the configuration says `http: false`. */
  readonly forPeople: FastifyInstance | undefined;
}

/** Made, not yet listening. */
export function makeListeners(served: Served): Listeners {
  const { config, agent, audit, store, log } = served;
  const tokens = new Tokens(store.database);
  const beforeWork = (): void => {
    store.database.refuseWithoutRoom();
    audit.flush();
  };
  const parts: RouteParts = { idempotency: new Idempotency(store.database), beforeWork };
  const common = { log, audit: (note) => audit.note(note) } satisfies Partial<ServerParts>;
  const handlers = { ...agent.local, ...office({ ...served, tokens }) };

  const local = makeServer({ ...common, identify: () => ON_SOCKET });
  serve(local, handlers, served, parts);

  const forPeers = makeServer({
    ...common,
    https: {
      ...certificateOf(config),
      ca: tls(config, "ca-cert.pem"),
      requestCert: true,
      rejectUnauthorized: true,
    },
    identify: ({ raw }) => peerIdentity(raw.socket),
    auditAfterAnswer: true,
    keepAliveMs: 600_000,
  });
  alive(forPeers);
  register(forPeers, peerRoutes, agent.forPeers, { beforeWork });
  forPeers.server.on("tlsClientError", (error: Error, socket: TLSSocket) => {
    log.warn(
      { peer: socket.remoteAddress, why: error.message },
      "a peer was refused: no certificate of our CA",
    );
  });

  return { local, forPeers, forPeople: config.http === false ? undefined : people() };

  function people(): FastifyInstance {
    const { address, names } = config.http || HTTP_DEFAULT;
    const https = isLoopback(address) ? undefined : certificateOf(config);
    const isOurs = namesOf(https === undefined ? undefined : new X509Certificate(https.cert), names);
    const allowed = (authorization: string | undefined): boolean => {
      try {
        const token = bearer(authorization);
        return token !== undefined && tokens.identify(token) !== undefined;
      } catch {
        return false;
      }
    };
    const server = makeServer({
      ...common,
      ...(https === undefined ? {} : { https }),
      admit: ({ headers }) => refuseStrangers({ host: headers.host, origin: headers.origin }, isOurs),
      identify: ({ headers }) => {
        const token = bearer(headers.authorization);
        return token === undefined ? undefined : tokens.identify(token);
      },
    });
    serveDashboard(server);
    serve(server, handlers, served, parts, { stillAllowed: allowed, heartbeatMs: served.heartbeatMs });
    return server;
  }
}

function serve(
  server: FastifyInstance,
  handlers: Handlers<typeof localRoutes>,
  { agent, config, observability }: Served,
  parts: RouteParts,
  streams: StreamOptions = {},
): void {
  const document = openapi();
  server.get("/openapi.json", { config: { access: "public" } }, () => document);
  alive(server);
  register(server, localRoutes, handlers, parts);
  registerEvents(server, agent.hub, streams);
  const { openMetrics } = config.http || HTTP_DEFAULT;
  registerObservability(server, observability, { openMetrics });
}

function alive(server: FastifyInstance): void {
  server.get("/healthz", { config: { access: "public" } }, () => ({ status: "ok" }));
}

const tls = ({ tlsDir }: AgentConfig, file: string): Buffer => readFileSync(join(tlsDir, file));

const certificateOf = (config: AgentConfig) =>
  ({
    minVersion: "TLSv1.3",
    cert: tls(config, "server-cert.pem"),
    key: tls(config, "server-key.pem"),
  }) as const;

/** Opens them all. The default listener for people gives way when its port is taken: nobody asked for it by name. */
export async function listen({ local, forPeers, forPeople }: Listeners, served: Served): Promise<void> {
  const { config, log, observability } = served;
  observability.watch("peers", forPeers.server);
  observability.watch("socket", local.server);
  if (forPeople !== undefined) observability.watch("people", forPeople.server);
  await forPeers.listen({ host: config.listen.address, port: config.listen.port });
  const { address, port } = config.http || HTTP_DEFAULT;
  try {
    await forPeople?.listen({ host: address, port });
  } catch (error) {
    if (config.http !== undefined) throw error;
    log.warn(
      { address, port, why: (error as Error).message },
      "no listener for people: set http in the configuration",
    );
    observability.ignore("people");
  }
  await local.listen({ path: config.socket });
  chmodSync(config.socket, 0o600);
}
