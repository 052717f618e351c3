/**
 * The agent's event stream over fetch (an EventSource can carry no token). One connection at a time, taken up again
 * after Last-Event-ID for as long as the page is open, ever more slowly; only a refused token ends it.
 */
import { createParser } from "eventsource-parser";

import { agentEvent, type AgentEvent } from "../../api/host.ts";
import type { Agent } from "./agent.ts";
import { garbage, isAboutToken, refusalOf, Refused, unreachable, type Refusal } from "./refusal.ts";

const RETRY_MS = 250;
export const RETRY_MS_MAX = 5_000;
/** The agent sends a heartbeat every 15 s; a connection silent for longer is dead, whatever TCP believes. */
const SILENCE_MS = 40_000;
/** One event is a view with its machine spec: a few KiB. */
const EVENT_CHARS_MAX = 2 ** 20;

export type Heard =
  /** The stream is open; `again` after it had been lost. */
  | { readonly is: "open"; readonly again: boolean }
  | { readonly is: "event"; readonly event: AgentEvent }
  | { readonly is: "lost"; readonly refusal: Refusal };

export type Wait = (ms: number, signal: AbortSignal) => Promise<void>;

/** Ends with the signal, or by throwing a refusal about the token. */
export async function* hear(
  agent: Pick<Agent, "request">,
  signal: AbortSignal,
  wait: Wait = waitFor,
): AsyncGenerator<Heard, void> {
  let lastEventId: string | undefined;
  let again = false;
  for (let failures = 0; !signal.aborted; failures += 1) {
    try {
      const headers: Record<string, string> = {
        accept: "text/event-stream",
        ...(lastEventId === undefined ? {} : { "last-event-id": lastEventId }),
      };
      const guard = new Guard(signal);
      try {
        const response = await agent.request("/events", { headers, signal: guard.signal });
        yield { is: "open", again };
        again = true;
        for await (const { id, event } of messages(response, guard)) {
          failures = 0;
          lastEventId = id ?? lastEventId;
          yield { is: "event", event };
        }
      } finally {
        guard.end();
      }
      yield { is: "lost", refusal: unreachable() };
    } catch (error) {
      if (signal.aborted) return;
      const refusal = error instanceof Refused ? error.refusal : refusalOf(error);
      if (isAboutToken(refusal)) throw error;
      yield { is: "lost", refusal: error instanceof Refused ? refusal : unreachable() };
    }
    again = true;
    await wait(Math.min(RETRY_MS * 2 ** failures, RETRY_MS_MAX), signal);
  }
}

/** Ends a connection that has been silent for too long. */
class Guard {
  readonly #own = new AbortController();
  readonly signal: AbortSignal;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(outer: AbortSignal) {
    this.signal = AbortSignal.any([outer, this.#own.signal]);
    this.heard();
  }
  heard(): void {
    this.end();
    this.#timer = setTimeout(() => this.#own.abort(), SILENCE_MS);
  }
  end(): void {
    clearTimeout(this.#timer);
  }
}

interface Received {
  readonly id: string | undefined;
  readonly event: AgentEvent;
}

async function* messages(response: Response, guard: Guard): AsyncGenerator<Received> {
  if (response.body === null) return;
  const received: Received[] = [];
  const parser = createParser({
    maxBufferSize: EVENT_CHARS_MAX,
    onEvent: ({ id, data }) => {
      received.push({ id, event: parseEvent(data) });
    },
    onError: (error) => {
      if (error.type === "max-buffer-size-exceeded") throw new Refused(garbage("an event that never ends"));
    },
  });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      guard.heard();
      parser.feed(value);
      yield* received.splice(0);
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

function parseEvent(data: string): AgentEvent {
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch {
    throw new Refused(garbage("an event that is not JSON"));
  }
  const parsed = agentEvent.safeParse(value);
  if (!parsed.success) throw new Refused(garbage("an event of unknown shape"));
  return parsed.data;
}

const waitFor: Wait = (ms, signal) =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
