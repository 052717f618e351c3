/**
 * The TypeScript client of one agent: every local route by its name, the event stream, and following one migration
 * to its end. Typed from `localRoutes`; every answer is parsed with the route's own schema before anyone sees it.
 */
import type { z } from "zod";

import { streamEvents, type EventOptions } from "./events.ts";
import { followMigration, type FollowOptions } from "./follow.ts";
import type { AgentEvent } from "./host.ts";
import type { MigrationView } from "./migration.ts";
import { localRoutes, type Route } from "./routes.ts";
import { CALL_TIMEOUT_MS, exchangeJson, garbage } from "./transport.ts";

export type LocalRoutes = typeof localRoutes;
export type RouteKey = keyof LocalRoutes;

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number | undefined;
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

export function connectAgent(socketPath: string, options: ClientOptions = {}): GodwitClient {
  const call = async <K extends RouteKey>(key: K, ...args: Arguments<K>): Promise<Answer<K>> => {
    const route: Route = localRoutes[key];
    const given: Loose = args[0] ?? {};
    const value = await exchangeJson(
      socketPath,
      { method: route.method, path: pathOf(route, given), body: given.body, signal: given.signal },
      given.timeoutMs ?? options.timeoutMs ?? CALL_TIMEOUT_MS,
    );
    const answer = route.answer.safeParse(value);
    if (!answer.success) {
      throw garbage(socketPath, `${route.method} ${route.path}: ${answer.error.message}`);
    }
    return answer.data as Answer<K>;
  };
  const events = (eventOptions: EventOptions = {}) => streamEvents(socketPath, eventOptions);
  const byName = Object.fromEntries(
    Object.keys(localRoutes).map((key) => [
      key,
      (args?: never) => call(key as RouteKey, ...([args] as unknown as [never])),
    ]),
  );
  return {
    ...byName,
    socketPath,
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

interface Loose extends CallOptions {
  readonly params?: Readonly<Record<string, unknown>>;
  readonly query?: Readonly<Record<string, string | number | undefined>>;
  readonly body?: unknown;
}

function pathOf(route: Route, given: Loose): string {
  const path = route.path.replace(/:(\w+)/g, (_, name: string) =>
    encodeURIComponent(String(given.params?.[name])),
  );
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(given.query ?? {})) {
    if (value !== undefined) query.set(name, String(value));
  }
  return query.size === 0 ? path : `${path}?${query.toString()}`;
}
