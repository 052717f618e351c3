/**
 * The agent's HTTP: routes from api/routes.ts, inputs and answers checked by their schemas, refusals as problem+json.
 * Two listeners of the same making: a unix socket for people on this host, and the mutually authenticated port for peers.
 */
import type { TLSSocket } from "node:tls";

import swagger from "@fastify/swagger";
import Fastify, { type FastifyInstance, type FastifyServerOptions } from "fastify";
import {
  hasZodFastifySchemaValidationErrors,
  jsonSchemaTransform,
  serializerCompiler,
  validatorCompiler,
} from "fastify-type-provider-zod";
import type { z } from "zod";

import type { Problem } from "../api/host.ts";
import type { Route } from "../api/routes.ts";
import { CodedError, toCodedError } from "../std/errors.ts";
import type { EventHub, Numbered } from "./events.ts";
import type { Log } from "./log.ts";

const BODY_BYTES_MAX = 1 << 20;
/** A listener whose unread events exceed this is cut off and told to read the state again when it comes back. */
const UNREAD_BYTES_MAX = 1 << 20;
const HEARTBEAT_MS = 15_000;

type Answer<R extends Route> = z.input<R["answer"]>;
type Parsed<T> = T extends z.ZodType ? z.output<T> : undefined;
export interface Asked<R extends Route> {
  readonly params: Parsed<R["params"]>;
  readonly query: Parsed<R["query"]>;
  readonly body: Parsed<R["body"]>;
  /** The peer's certified name; empty on the local socket. */
  readonly peer: string;
}
export type Handlers<T extends Record<string, Route>> = {
  readonly [K in keyof T]: (asked: Asked<T[K]>) => Promise<Answer<T[K]>> | Answer<T[K]>;
};

export function toProblem(error: CodedError): Problem {
  const { delivered: _, ...details } = error.details;
  return {
    type: `urn:godwit:error:${error.code}`,
    title: error.code,
    status: error.status,
    code: error.code,
    detail: error.message,
    next: error.next,
    details,
  };
}

function fromFastify(error: unknown): CodedError {
  if (hasZodFastifySchemaValidationErrors(error)) {
    const problems = error.validation.map(
      (each) =>
        `${each.instancePath.replaceAll("/", ".").replace(/^\./, "") || "body"}: ${each.message ?? "invalid"}`,
    );
    return new CodedError("REQUEST_INVALID", { problem: problems.join("; ") });
  }
  const status = (error as { statusCode?: number }).statusCode;
  if (status !== undefined && status >= 400 && status < 500) {
    return new CodedError("REQUEST_INVALID", { problem: (error as Error).message });
  }
  return toCodedError(error);
}

export async function makeServer(log: Log, https?: object): Promise<FastifyInstance> {
  const server = Fastify({
    loggerInstance: log,
    disableRequestLogging: true,
    bodyLimit: BODY_BYTES_MAX,
    // Connections between agents stay open through a whole migration: a handshake must not fall into the pause.
    keepAliveTimeout: 600_000,
    forceCloseConnections: true,
    ...(https === undefined ? {} : { https }),
  } as FastifyServerOptions) as unknown as FastifyInstance;
  server.setValidatorCompiler(validatorCompiler);
  server.setSerializerCompiler(serializerCompiler);
  server.setErrorHandler((error, request, reply) => {
    const coded = fromFastify(error);
    if (coded.code === "INTERNAL") log.error({ err: error, path: request.url }, "a request failed");
    void reply
      .code(coded.status)
      .type("application/problem+json")
      .serializer(JSON.stringify)
      .send(toProblem(coded));
  });
  server.setNotFoundHandler((request, reply) => {
    const coded = new CodedError("NOT_FOUND", { path: request.url });
    void reply
      .code(coded.status)
      .type("application/problem+json")
      .serializer(JSON.stringify)
      .send(toProblem(coded));
  });
  await server.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: { title: "godwit agent", version: "1", license: { name: "Apache-2.0" } },
    },
    transform: jsonSchemaTransform,
  });
  server.get("/openapi.json", { schema: { hide: true } }, () => server.swagger());
  server.get("/healthz", { schema: { hide: true } }, () => ({ status: "ok" }));
  return server;
}

export function register<T extends Record<string, Route>>(
  server: FastifyInstance,
  routes: T,
  handlers: Handlers<T>,
): void {
  for (const [name, route] of Object.entries(routes) as [keyof T & string, Route][]) {
    const handle = handlers[name] as unknown as (asked: unknown) => Promise<unknown>;
    server.route({
      method: route.method,
      url: route.path,
      schema: {
        summary: route.summary,
        operationId: name,
        ...(route.params === undefined ? {} : { params: route.params }),
        ...(route.query === undefined ? {} : { querystring: route.query }),
        ...(route.body === undefined ? {} : { body: route.body }),
        response: { [route.status]: route.answer },
      },
      handler: async (request, reply) => {
        const peer = peerName(request.raw.socket);
        const answer = await handle({
          params: request.params,
          query: request.query,
          body: request.body,
          peer,
        });
        if (route.status === 202)
          void reply.header("location", `/migrations/${(answer as { id: string }).id}`);
        return reply.code(route.status).send(answer);
      },
    });
  }
}

function peerName(socket: object): string {
  if (!("getPeerCertificate" in socket)) return "";
  const certificate = (socket as TLSSocket).getPeerCertificate();
  const name: unknown = certificate?.subject?.CN;
  return typeof name === "string" ? name : "";
}

/** GET /events: server-sent events, continued after Last-Event-ID. */
export function registerEvents(server: FastifyInstance, hub: EventHub): void {
  server.get("/events", { schema: { hide: true } }, (request, reply) => {
    reply.hijack();
    const { raw } = reply;
    raw.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
    const write = ({ id, event }: Numbered): void => {
      if (raw.writableLength > UNREAD_BYTES_MAX) return void raw.destroy();
      raw.write(`id: ${id}\ndata: ${JSON.stringify(event)}\n\n`);
    };
    const last = Number(request.headers["last-event-id"]);
    const unsubscribe = hub.subscribe(write, Number.isSafeInteger(last) && last > 0 ? last : undefined);
    const heartbeat = setInterval(() => raw.write(":\n\n"), HEARTBEAT_MS);
    raw.write(":\n\n");
    raw.on("close", () => {
      clearInterval(heartbeat);
      unsubscribe();
    });
  });
}
