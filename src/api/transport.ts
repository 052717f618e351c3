/**
 * One HTTP exchange with an agent over its unix socket: connects, sends, reads a bounded answer, and turns what went
 * wrong into a refusal. Knows nothing of routes; `client.ts` does.
 */
import { request, type IncomingMessage } from "node:http";

import { CodedError, isErrorCode } from "../std/errors.ts";
import { formatDuration } from "../std/units.ts";
import { problem } from "./host.ts";

/** Far above the largest report; a stray server cannot fill our memory. */
export const ANSWER_BYTES_MAX = 16 * 2 ** 20;
export const CALL_TIMEOUT_MS = 30_000;

export interface Exchange {
  readonly method: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly signal?: AbortSignal | undefined;
}

/** Sends and waits for the answer's head; the caller reads or destroys the body. */
export function open(socketPath: string, exchange: Exchange): Promise<IncomingMessage> {
  const text = exchange.body === undefined ? undefined : JSON.stringify(exchange.body);
  return new Promise((resolve, reject) => {
    exchange.signal?.throwIfAborted();
    const outgoing = request({
      socketPath,
      method: exchange.method,
      path: exchange.path,
      // A kept connection would be dead after the agent restarted.
      agent: false,
      headers: {
        ...exchange.headers,
        ...(text === undefined
          ? {}
          : { "content-type": "application/json", "content-length": Buffer.byteLength(text) }),
      },
      ...(exchange.signal === undefined ? {} : { signal: exchange.signal }),
    });
    outgoing.on("response", resolve);
    outgoing.on("error", (error) => {
      if (exchange.signal?.aborted === true) reject(exchange.signal.reason as Error);
      else reject(unreachable(socketPath, error));
    });
    outgoing.end(text);
  });
}

/** Reads the whole answer, up to a limit. */
export async function readAll(socketPath: string, incoming: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of incoming as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > ANSWER_BYTES_MAX) {
        throw garbage(socketPath, `more than ${ANSWER_BYTES_MAX} bytes in one answer`);
      }
      chunks.push(chunk);
    }
  } catch (error) {
    if (error instanceof CodedError) throw error;
    throw unreachable(socketPath, error);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** One exchange with a limit on its time; answers the JSON of a 2xx, throws the refusal otherwise. */
export async function exchangeJson(
  socketPath: string,
  exchange: Exchange,
  timeoutMs: number,
): Promise<unknown> {
  const limit = AbortSignal.timeout(timeoutMs);
  const signal = exchange.signal === undefined ? limit : AbortSignal.any([exchange.signal, limit]);
  try {
    const incoming = await open(socketPath, { ...exchange, signal });
    const value = parseJson(socketPath, await readAll(socketPath, incoming));
    const status = incoming.statusCode ?? 0;
    if (status >= 200 && status < 300) return value;
    throw refusal(socketPath, status, value);
  } catch (error) {
    exchange.signal?.throwIfAborted();
    if (limit.aborted) {
      const waited = formatDuration(timeoutMs);
      throw new CodedError("PEER_STALLED", { host: socketPath, waited }, { cause: error });
    }
    throw error;
  }
}

function parseJson(socketPath: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw garbage(socketPath, "an answer that is not JSON", error);
  }
}

/** A problem document as the refusal it was. A code this version does not know keeps its sentence and next step. */
export function refusal(socketPath: string, status: number, value: unknown): CodedError {
  const parsed = problem.safeParse(value);
  if (!parsed.success) return garbage(socketPath, `status ${status} without a problem document`);
  const { code, detail, next, details } = parsed.data;
  if (isErrorCode(code)) return new CodedError(code, details);
  return new CodedError("PEER_REFUSED", { host: socketPath, why: `${detail} (${code})`, next });
}

export const garbage = (socketPath: string, what: string, cause?: unknown): CodedError =>
  new CodedError("PEER_GARBAGE", { host: socketPath, problem: what }, { cause });

const unreachable = (socketPath: string, cause: unknown): CodedError =>
  new CodedError("AGENT_UNREACHABLE", { socket: socketPath }, { cause });
