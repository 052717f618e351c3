/**
 * The agent's HTTP: routes from api/routes.ts, inputs and answers checked by their schemas, rights checked before a
 * body is read, refusals as problem+json, changes and refusals in the audit log. Three listeners of the same making:
 * a unix socket for this host, the mutually authenticated port for peers, and one for people with tokens. How each
 * knows its callers is handed in.
 */
import Fastify, {
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type FastifyServerOptions,
  LogController,
} from "fastify";
import { serializerCompiler, validatorCompiler } from "fastify-type-provider-zod";
import type { z } from "zod";

import { allows, type Access } from "../api/access.ts";
import type { Route } from "../api/routes.ts";
import { CodedError } from "../std/errors.ts";
import type { Note } from "./audit.ts";
import { nameOf, type Identity } from "./identity.ts";
import type { Idempotency } from "./idempotency.ts";
import type { Log } from "./log.ts";
import { nextLink } from "./next-link.ts";
import { answerBrokenRequests, fromFastify, sendProblem } from "./problems.ts";
import { parseTraceparent } from "./traceparent.ts";

const BODY_BYTES_MAX = 1 << 20;
const CONNECTIONS_MAX = 8192;
/** Bodies that are counted and dropped as they come: bursts that measure the link. */
export const COUNTED = "application/octet-stream";
export const COUNTED_BYTES_MAX = 2 << 20;

type Answer<R extends Route> = z.input<R["answer"]>;
type Parsed<T> = T extends z.ZodType ? z.output<T> : undefined;
export interface Asked<R extends Route> {
  readonly params: Parsed<R["params"]>;
  readonly query: Parsed<R["query"]>;
  readonly body: Parsed<R["body"]>;
  /** The peer's certified name; empty for everybody else. */
  readonly peer: string;
  /** W3C trace context, if the asker sent a well-formed one. */
  readonly traceparent?: string | undefined;
  readonly caller: Identity;
  /** Says that the list goes on, for answers that cannot say it in their body. */
  readonly goesOn: (cursor: string) => void;
}
export type Handlers<T extends Record<string, Route>> = {
  readonly [K in keyof T]: (asked: Asked<T[K]>) => Promise<Answer<T[K]>> | Answer<T[K]>;
};

export interface ServerParts {
  readonly log: Log;
  readonly https?: object;
  /** Refuses what should not even be looked at. */
  readonly admit?: (request: FastifyRequest) => void;
  /** Who asks; undefined is nobody known. */
  readonly identify: (request: FastifyRequest) => Identity | undefined;
  readonly audit: (note: Note) => void;
  /** Writing an entry takes a disk's time; a hand-over does not wait for it. */
  readonly auditAfterAnswer?: boolean;
  /** Connections between agents stay open through a whole migration: a handshake must not fall into the pause. */
  readonly keepAliveMs?: number;
}

declare module "fastify" {
  interface FastifyRequest {
    identity: Identity | undefined;
    /** The code of the refusal it was answered with. */
    refusal: string | undefined;
    /** What the answer named, for the audit log. */
    made: string;
  }
  interface FastifyContextConfig {
    /** A route without one is nobody's. */
    access?: Access;
    name?: string;
    changes?: boolean;
  }
}

export function makeServer(parts: ServerParts): FastifyInstance {
  const { log, https, audit, auditAfterAnswer = false, keepAliveMs = 5_000 } = parts;
  const server = Fastify({
    loggerInstance: log,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: BODY_BYTES_MAX,
    keepAliveTimeout: keepAliveMs,
    forceCloseConnections: true,
    // A request without a Host is refused by us, with a code.
    ...(https === undefined
      ? { http: { requireHostHeader: false } }
      : { https: { ...https, requireHostHeader: false } }),
    frameworkErrors: (error: Error, request: FastifyRequest, reply: FastifyReply) =>
      sendProblem(request, reply, fromFastify(error)),
  } as FastifyServerOptions) as unknown as FastifyInstance;
  server.server.maxConnections = CONNECTIONS_MAX;
  answerBrokenRequests(server.server);
  server.setValidatorCompiler(validatorCompiler);
  server.setSerializerCompiler(serializerCompiler);
  server.addContentTypeParser(COUNTED, { bodyLimit: COUNTED_BYTES_MAX }, (_request, payload, done) => {
    let bytes = 0;
    payload.on("data", (chunk: Buffer) => {
      bytes += chunk.byteLength;
      if (bytes > COUNTED_BYTES_MAX) payload.destroy(new Error("a burst that is too long"));
    });
    payload.on("end", () => done(null, { bytes }));
    payload.on("error", (error) => done(error));
  });
  server.decorateRequest("identity", undefined);
  server.decorateRequest("refusal", undefined);
  server.decorateRequest("made", "");
  server.setErrorHandler((error, request, reply) => {
    const coded = fromFastify(error);
    if (coded.code === "INTERNAL") log.error({ err: error, path: request.url }, "a request failed");
    sendProblem(request, reply, coded);
  });
  server.setNotFoundHandler((request, reply) =>
    sendProblem(request, reply, new CodedError("NOT_FOUND", { path: request.url })),
  );
  server.addHook("onRequest", async (request, reply) => {
    void reply.header("cache-control", "no-store").header("x-content-type-options", "nosniff");
    parts.admit?.(request);
  });
  // Before a byte of the body is read.
  server.addHook("preParsing", async (request, _reply, payload) => {
    const { access } = request.routeOptions.config;
    if (request.is404 || access === "public") return payload;
    request.identity = parts.identify(request);
    refuseWithout(request, access);
    return payload;
  });
  const note = (request: FastifyRequest, reply: FastifyReply): void => {
    const { config } = request.routeOptions;
    const refused = reply.statusCode >= 400;
    const denied = reply.statusCode === 401 || reply.statusCode === 403;
    if (!(denied || config.changes === true)) return;
    audit({
      who: request.identity === undefined ? `nobody ${request.ip ?? ""}`.trim() : nameOf(request.identity),
      what: config.name ?? "",
      to: `${request.method} ${pathOnly(request.url)}${request.made === "" ? "" : ` ${request.made}`}`,
      outcome: refused ? "refused" : "done",
      code: refused ? (request.refusal ?? "INTERNAL") : null,
    });
  };
  if (auditAfterAnswer) {
    server.addHook("onResponse", async (request, reply) => note(request, reply));
  } else {
    server.addHook("onSend", async (request, reply, payload) => {
      note(request, reply);
      return payload;
    });
  }
  return server;
}

function refuseWithout(request: FastifyRequest, access: Access | undefined): void {
  if (request.identity === undefined) {
    throw new CodedError("TOKEN_NEEDED", { path: pathOnly(request.url) });
  }
  if (access === undefined || !allows(request.identity.rights, access)) {
    throw new CodedError("RIGHT_MISSING", {
      who: nameOf(request.identity),
      right: access ?? "of any kind for this path",
    });
  }
}

export interface RouteParts {
  readonly idempotency?: Idempotency;
  /** Refuses new work, for example while the disk is full. */
  readonly beforeWork?: () => void;
}

export function register<T extends Record<string, Route>>(
  server: FastifyInstance,
  routes: T,
  handlers: Handlers<T>,
  parts: RouteParts = {},
): void {
  for (const [name, route] of Object.entries(routes) as [keyof T & string, Route][]) {
    const handle = handlers[name] as unknown as (asked: unknown) => Promise<unknown>;
    server.route({
      method: route.method,
      url: route.path,
      config: {
        access: route.right,
        name,
        changes: route.method !== "GET" && route.changesNothing !== true,
      },
      schema: {
        ...(route.params === undefined ? {} : { params: route.params }),
        ...(route.query === undefined ? {} : { querystring: route.query }),
        ...(route.body === undefined ? {} : { body: route.body }),
        response: { [route.status]: route.answer },
      },
      handler: async (request, reply) => {
        const { identity: caller } = request;
        if (caller === undefined) throw new CodedError("TOKEN_NEEDED", { path: route.path });
        if (route.startsWork === true) parts.beforeWork?.();
        const run = async (): Promise<unknown> =>
          handle({
            params: request.params,
            query: request.query,
            body: request.body,
            peer: caller.kind === "peer" ? caller.name : "",
            caller,
            traceparent: parseTraceparent(request.headers["traceparent"]),
            goesOn: (cursor: string) => void reply.header("link", nextLink(request.url, cursor)),
          });
        const key = request.headers["idempotency-key"];
        const keyed = key !== undefined && route.method === "POST" && route.secret !== true;
        let answer: unknown;
        let repeated = false;
        if (keyed && parts.idempotency !== undefined) {
          const { method, url: path, body } = request;
          const who = nameOf(caller);
          const once = await parts.idempotency.once({ who, key: String(key), method, path, body }, run);
          answer = once.answer;
          repeated = once.replayed;
        } else answer = await run();
        describe(route, answer, request, reply);
        if (repeated) {
          void reply.header("idempotency-replayed", "true");
          request.made = `${request.made} (answered again)`.trim();
        }
        return reply.code(route.status).send(answer);
      },
    });
  }
}

/** What the answer names, in headers and for the audit log. */
function describe(route: Route, answer: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const { id, name, next } = (answer ?? {}) as { id?: unknown; name?: unknown; next?: unknown };
  if (typeof id === "string") request.made = id;
  else if (typeof name === "string") request.made = name;
  if (route.status === 202 && typeof id === "string") void reply.header("location", `/migrations/${id}`);
  if (route.status === 201 && typeof name === "string") {
    void reply.header("location", `${route.path}/${encodeURIComponent(name)}`);
  }
  if (typeof next === "string") void reply.header("link", nextLink(request.url, next));
}

const pathOnly = (url: string): string => url.split("?", 1)[0] ?? "";
