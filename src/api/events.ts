/**
 * The agent's event stream as an async iterable. Reconnects with Last-Event-ID a bounded number of times in a row;
 * what the events mean is left to the caller.
 */
import { setTimeout as sleep } from "node:timers/promises";

import { createParser } from "eventsource-parser";

import { toCodedError } from "../std/errors.ts";
import { agentEvent, type AgentEvent } from "./host.ts";
import { garbage, open, readAll, refusal, type Endpoint } from "./transport.ts";

/** Failed connections in a row before the stream is given up; an event received starts the count again. */
export const RECONNECTS_MAX = 8;
const RECONNECT_DELAY_MS = 200;
const RECONNECT_DELAY_MS_MAX = 5_000;
/** One event is a view with its machine spec: a few KiB. */
const EVENT_CHARS_MAX = 2 ** 20;

export interface EventOptions {
  readonly lastEventId?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Ends by throwing: the signal's reason, or the refusal once reconnecting has been given up. */
export async function* streamEvents(
  endpoint: Endpoint,
  options: EventOptions = {},
): AsyncGenerator<AgentEvent, never> {
  const { signal } = options;
  let lastEventId = options.lastEventId;
  for (let failures = 0; ;) {
    try {
      for await (const { id, event } of connection(endpoint, lastEventId, signal)) {
        lastEventId = id ?? lastEventId;
        failures = 0;
        yield event;
      }
      failures += 1;
      if (failures > RECONNECTS_MAX) throw garbage(endpoint, "event streams that end at once");
    } catch (error) {
      signal?.throwIfAborted();
      const refused = toCodedError(error);
      failures += 1;
      if (refused.code !== "AGENT_UNREACHABLE" || failures > RECONNECTS_MAX) throw refused;
    }
    const delayMs = Math.min(RECONNECT_DELAY_MS * 2 ** (failures - 1), RECONNECT_DELAY_MS_MAX);
    await sleep(delayMs, undefined, signal === undefined ? {} : { signal });
  }
}

interface Received {
  readonly id: string | undefined;
  readonly event: AgentEvent;
}

async function* connection(
  endpoint: Endpoint,
  lastEventId: string | undefined,
  signal: AbortSignal | undefined,
): AsyncGenerator<Received> {
  const headers = {
    accept: "text/event-stream",
    ...(lastEventId === undefined ? {} : { "last-event-id": lastEventId }),
  };
  const incoming = await open(endpoint, { method: "GET", path: "/events", headers, signal });
  if (incoming.statusCode !== 200) {
    const text = await readAll(endpoint, incoming);
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      value = undefined;
    }
    throw refusal(endpoint, incoming.statusCode ?? 0, value);
  }
  const received: Received[] = [];
  const parser = createParser({
    maxBufferSize: EVENT_CHARS_MAX,
    onEvent: (message) => {
      received.push({ id: message.id, event: parseEvent(endpoint, message.data) });
    },
    onError: (error) => {
      if (error.type === "max-buffer-size-exceeded") throw garbage(endpoint, "an event that never ends");
    },
  });
  try {
    incoming.setEncoding("utf8");
    for await (const chunk of incoming as AsyncIterable<string>) {
      parser.feed(chunk);
      yield* received.splice(0);
    }
  } catch (error) {
    // A connection cut in the middle of an answer is an ended stream, to be opened again.
    if ((error as NodeJS.ErrnoException).code !== "ECONNRESET") throw error;
  } finally {
    incoming.destroy();
  }
}

function parseEvent(endpoint: Endpoint, data: string): AgentEvent {
  try {
    return agentEvent.parse(JSON.parse(data));
  } catch (error) {
    throw garbage(endpoint, "an event of unknown shape", error);
  }
}
