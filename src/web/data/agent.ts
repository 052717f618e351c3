/** Calls to the agent that served this page, by the routes' names; every answer is parsed before anyone sees it. */
import { type Filling, pathOf } from "../../api/path-of.ts";
import { localRoutes, type Route } from "../../api/routes.ts";
import type { Answer, CallArguments, RouteKey } from "../../api/client.ts";
import { garbage, Refused, refusalOfAnswer, stalled, unreachable } from "./refusal.ts";

export const CALL_TIMEOUT_MS = 15_000;

/** fetch of the browser, or a test's. */
export type Fetch = (path: string, init: RequestInit) => Promise<Response>;

interface Loose extends Filling {
  readonly body?: unknown;
  readonly signal?: AbortSignal | undefined;
}

export class Agent {
  readonly #token: string;
  readonly #fetch: Fetch;

  constructor(token: string, fetching: Fetch = (path, init) => fetch(path, init)) {
    this.#token = token;
    this.#fetch = fetching;
  }

  async call<K extends RouteKey>(key: K, args: CallArguments<K>): Promise<Answer<K>> {
    const route: Route = localRoutes[key];
    const given = args as Loose;
    const limit = AbortSignal.timeout(CALL_TIMEOUT_MS);
    const response = await this.request(pathOf(route, given), {
      method: route.method,
      signal: given.signal === undefined ? limit : AbortSignal.any([given.signal, limit]),
      ...(given.body === undefined
        ? {}
        : { body: JSON.stringify(given.body), headers: { "content-type": "application/json" } }),
    });
    const value = await json(response);
    const answer = route.answer.safeParse(value);
    if (!answer.success) {
      throw new Refused(garbage(`${route.method} ${route.path}: ${answer.error.message}`));
    }
    return answer.data as Answer<K>;
  }

  /** With the token; only a success comes back. */
  async request(path: string, init: RequestInit): Promise<Response> {
    let response: Response;
    try {
      response = await this.#fetch(path, {
        ...init,
        cache: "no-store",
        headers: { ...(init.headers as Record<string, string>), authorization: `Bearer ${this.#token}` },
      });
    } catch {
      const { signal } = init;
      if (signal?.aborted === true && (signal.reason as Error).name === "TimeoutError") {
        throw new Refused(stalled());
      }
      signal?.throwIfAborted();
      throw new Refused(unreachable());
    }
    if (response.ok) return response;
    throw new Refused(refusalOfAnswer(response.status, await json(response).catch(() => undefined)));
  }
}

async function json(response: Response): Promise<unknown> {
  try {
    return await response.json();
  } catch {
    throw new Refused(garbage("an answer that is not JSON"));
  }
}
