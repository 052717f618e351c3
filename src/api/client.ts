/**
 * The TypeScript client of one agent: every local route by its name, the event stream, and following one migration
 * to its end. Typed from `localRoutes`; every answer is parsed with the route's own schema before anyone sees it.
 */
import type { z } from "zod";

import { CodedError } from "../std/errors.ts";
import { streamEvents, type EventOptions } from "./events.ts";
import { followMigration, type FollowOptions } from "./follow.ts";
import type { AgentEvent } from "./host.ts";
import type { MigrationView } from "./migration.ts";
import { type Filling, pathOf } from "./path-of.ts";
import { localRoutes, type Route } from "./routes.ts";
import { CALL_TIMEOUT_MS, exchangeJson, garbage, nameOf, type Endpoint } from "./transport.ts";

export type LocalRoutes = typeof localRoutes;
export type RouteKey = keyof LocalRoutes;

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number | undefined;
  /** The same key within 24 hours gets the first answer again instead of a second effect. For POSTs. */
  readonly idempotencyKey?: string | undefined;
}

type Params<R> = R extends { readonly params: infer S extends z.ZodType }
  ? { readonly params: z.input<S> }
  : unknown;
type Query<R> = R extends { readonly query: infer S extends z.ZodType }
  ? { readonly query?: z.input<S> }
  : unknown;
type Body<R> = R extends { readonly body: infer S extends z.ZodType }
  ? { readonly body: z.input<S> }
  : unknown;

export type CallArguments<K extends RouteKey> = Params<LocalRoutes[K]> &
  Query<LocalRoutes[K]> &
  Body<LocalRoutes[K]> &
  CallOptions;
export type Answer<K extends RouteKey> = z.output<LocalRoutes[K]["answer"]>;
type Arguments<K extends RouteKey> =
  Partial<CallArguments<K>> extends CallArguments<K> ? [args?: CallArguments<K>] : [args: CallArguments<K>];

export type GodwitClient = {
  readonly [K in RouteKey]: (...args: Arguments<K>) => Promise<Answer<K>>;
} & {
  /** The socket's path or the URL. */
  readonly where: string;
  /** Empty when it speaks to a URL. */
  readonly socketPath: string;
  call<K extends RouteKey>(key: K, ...args: Arguments<K>): Promise<Answer<K>>;
  /** Ends only by throwing: the signal's reason, or a refusal once reconnecting has been given up. */
  events(options?: EventOptions): AsyncGenerator<AgentEvent, never>;
  /** Views of one migration until the one that has an outcome; lives through an agent's restart. */
  follow(id: string, signal?: AbortSignal, options?: FollowOptions): AsyncGenerator<MigrationView, void>;
};

export interface ClientOptions {
  /** For every call that names none. */
  readonly timeoutMs?: number;
}

/** A client of the agent at this unix socket, or wherever the endpoint says. Nothing is sent before the first call. */
export function connectAgent(at: string | Endpoint, options: ClientOptions = {}): GodwitClient {
  const endpoint = typeof at === "string" ? { socket: at } : checked(at);
  const call = async <K extends RouteKey>(key: K, ...args: Arguments<K>): Promise<Answer<K>> => {
    const route: Route = localRoutes[key];
    const given: Loose = args[0] ?? {};
    const value = await exchangeJson(
      endpoint,
      {
        method: route.method,
        path: pathOf(route, given),
        body: given.body,
        signal: given.signal,
        ...(given.idempotencyKey === undefined
          ? {}
          : { headers: { "idempotency-key": given.idempotencyKey } }),
      },
      given.timeoutMs ?? options.timeoutMs ?? CALL_TIMEOUT_MS,
    );
    const answer = route.answer.safeParse(value);
    if (!answer.success) {
      throw garbage(endpoint, `${route.method} ${route.path}: ${answer.error.message}`);
    }
    return answer.data as Answer<K>;
  };
  const events = (eventOptions: EventOptions = {}) => streamEvents(endpoint, eventOptions);
  const byName = Object.fromEntries(
    Object.keys(localRoutes).map((key) => [
      key,
      (args?: never) => call(key as RouteKey, ...([args] as unknown as [never])),
    ]),
  );
  return {
    ...byName,
    where: nameOf(endpoint),
    socketPath: "socket" in endpoint ? endpoint.socket : "",
    call,
    events,
    follow: (id: string, signal?: AbortSignal, followOptions: FollowOptions = {}) =>
      followMigration(
        {
          read: (readSignal) => call("migration", { params: { id }, signal: readSignal }),
          events: (eventSignal) => events({ signal: eventSignal }),
        },
        id,
        signal,
        followOptions,
      ),
  } as GodwitClient;
}

/** A token travels in clear text over http, so only to this very machine. */
function checked(endpoint: Endpoint): Endpoint {
  if ("socket" in endpoint) return endpoint;
  const url = URL.parse(endpoint.url);
  const loopback = url !== null && /^(localhost|127(\.\d+){3}|\[::1\])$/.test(url.hostname);
  if (url === null || !(url.protocol === "https:" || (url.protocol === "http:" && loopback))) {
    throw new CodedError("USAGE", {
      problem: `${endpoint.url} is not an agent's URL: https, or http on this machine's loopback.`,
      next: "For example https://192.0.2.1:7466 or http://127.0.0.1:7466.",
    });
  }
  return endpoint;
}

interface Loose extends CallOptions, Filling {
  readonly body?: unknown;
}
