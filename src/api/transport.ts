/**
 * One HTTP exchange with an agent, over its unix socket or over its listener for people: connects, sends, reads a
 * bounded answer, and turns what went wrong into a refusal. Knows nothing of routes; `client.ts` does.
 */
import { request, type ClientRequest, type IncomingMessage, type RequestOptions } from "node:http";
import { request as requestTls } from "node:https";

import { CodedError, isErrorCode } from "../std/errors.ts";
import { formatDuration } from "../std/units.ts";
import { problem } from "./host.ts";

/** Far above the largest report; a stray server cannot fill our memory. */
export const ANSWER_BYTES_MAX = 16 * 2 ** 20;
export const CALL_TIMEOUT_MS = 30_000;

/** Where an agent is asked. */
export type Endpoint =
  | { readonly socket: string }
  | {
      /** As in "https://192.0.2.1:7466". */
      readonly url: string;
      readonly token: string;
      /** PEM of the CA that signed the agent's certificate; without it the system's CAs count. */
      readonly ca?: string | undefined;
    };

/** How an endpoint is called in a refusal. */
export const nameOf = (endpoint: Endpoint): string => ("socket" in endpoint ? endpoint.socket : endpoint.url);

export interface Exchange {
  readonly method: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly signal?: AbortSignal | undefined;
}

/** Sends and waits for the answer's head; the caller reads or destroys the body. */
export function open(endpoint: Endpoint, exchange: Exchange): Promise<IncomingMessage> {
  const text = exchange.body === undefined ? undefined : JSON.stringify(exchange.body);
  return new Promise((resolve, reject) => {
    exchange.signal?.throwIfAborted();
    const outgoing = start(endpoint, {
      method: exchange.method,
      path: exchange.path,
      // A kept connection would be dead after the agent restarted.
      agent: false,
      headers: {
        ...exchange.headers,
        ...("token" in endpoint ? { authorization: `Bearer ${endpoint.token}` } : {}),
        ...(text === undefined
          ? {}
          : { "content-type": "application/json", "content-length": Buffer.byteLength(text) }),
      },
      ...(exchange.signal === undefined ? {} : { signal: exchange.signal }),
    });
    outgoing.on("response", resolve);
    outgoing.on("error", (error) => {
      if (exchange.signal?.aborted === true) reject(exchange.signal.reason as Error);
      else reject(unreachable(endpoint, error));
    });
    outgoing.end(text);
  });
}

function start(endpoint: Endpoint, options: RequestOptions): ClientRequest {
  if ("socket" in endpoint) return request({ ...options, socketPath: endpoint.socket });
  const { protocol, hostname, port } = new URL(endpoint.url);
  const place = { host: hostname.replace(/^\[|\]$/g, ""), port: port === "" ? undefined : Number(port) };
  return protocol === "https:"
    ? requestTls({
        ...options,
        ...place,
        minVersion: "TLSv1.3",
        ...(endpoint.ca === undefined ? {} : { ca: endpoint.ca }),
      })
    : request({ ...options, ...place });
}

/** Reads the whole answer, up to a limit. */
export async function readAll(endpoint: Endpoint, incoming: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of incoming as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > ANSWER_BYTES_MAX) {
        throw garbage(endpoint, `more than ${ANSWER_BYTES_MAX} bytes in one answer`);
      }
      chunks.push(chunk);
    }
  } catch (error) {
    if (error instanceof CodedError) throw error;
    throw unreachable(endpoint, error);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** One exchange with a limit on its time; answers the JSON of a 2xx, throws the refusal otherwise. */
export async function exchangeJson(
  endpoint: Endpoint,
  exchange: Exchange,
  timeoutMs: number,
): Promise<unknown> {
  const limit = AbortSignal.timeout(timeoutMs);
  const signal = exchange.signal === undefined ? limit : AbortSignal.any([exchange.signal, limit]);
  try {
    const incoming = await open(endpoint, { ...exchange, signal });
    const value = parseJson(endpoint, await readAll(endpoint, incoming));
    const status = incoming.statusCode ?? 0;
    if (status >= 200 && status < 300) return value;
    throw refusal(endpoint, status, value);
  } catch (error) {
    exchange.signal?.throwIfAborted();
    if (limit.aborted) {
      const waited = formatDuration(timeoutMs);
      throw new CodedError("PEER_STALLED", { host: nameOf(endpoint), waited }, { cause: error });
    }
    throw error;
  }
}

function parseJson(endpoint: Endpoint, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw garbage(endpoint, "an answer that is not JSON", error);
  }
}

/** A problem document as the refusal it was. A code this version does not know keeps its sentence and next step. */
export function refusal(endpoint: Endpoint, status: number, value: unknown): CodedError {
  const parsed = problem.safeParse(value);
  if (!parsed.success) return garbage(endpoint, `status ${status} without a problem document`);
  const { code, detail, next, details } = parsed.data;
  if (isErrorCode(code)) return new CodedError(code, details);
  return new CodedError("PEER_REFUSED", { host: nameOf(endpoint), why: `${detail} (${code})`, next });
}

export const garbage = (endpoint: Endpoint, what: string, cause?: unknown): CodedError =>
  new CodedError("PEER_GARBAGE", { host: nameOf(endpoint), problem: what }, { cause });

const unreachable = (endpoint: Endpoint, cause: unknown): CodedError =>
  new CodedError("AGENT_UNREACHABLE", { socket: nameOf(endpoint) }, { cause });
