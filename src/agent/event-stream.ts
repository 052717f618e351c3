/**
 * GET /events: server-sent events, continued after Last-Event-ID. One timer serves all listeners; a listener that takes
 * nothing for too long, or whose token is no longer valid, is cut off.
 */
import type { FastifyInstance } from "fastify";

import { CodedError } from "../std/errors.ts";
import { Delivery } from "./delivery.ts";
import type { EventHub } from "./events.ts";
import { Outbox } from "./outbox.ts";

const HEARTBEAT_MS = 15_000;
/** A listener that takes nothing for this long is gone, or as good as gone. */
const BLOCKED_HEARTBEATS_MAX = 4;
export const LISTENERS_MAX = 4096;
const COMMENT = Buffer.from(":\n\n");

interface Listener {
  beat(): void;
}

export interface StreamOptions {
  /** Asked again and again about a listener's Authorization: streams outlive the rights they began with. */
  readonly stillAllowed?: ((authorization: string | undefined) => boolean) | undefined;
  readonly heartbeatMs?: number | undefined;
}

export function registerEvents(server: FastifyInstance, hub: EventHub, options: StreamOptions = {}): void {
  const { stillAllowed = () => true, heartbeatMs = HEARTBEAT_MS } = options;
  const listeners = new Set<Listener>();
  const delivery = new Delivery(hub);
  const timer = setInterval(() => {
    for (const listener of listeners) listener.beat();
  }, heartbeatMs);
  timer.unref();
  server.addHook("onClose", () => clearInterval(timer));

  server.get(
    "/events",
    { schema: { hide: true }, exposeHeadRoute: false, config: { access: "read", name: "events" } },
    (request, reply) => {
      if (listeners.size >= LISTENERS_MAX) {
        throw new CodedError("OVERLOADED", { what: "event listeners", limit: LISTENERS_MAX });
      }
      reply.hijack();
      const { raw } = reply;
      for (const [name, value] of Object.entries(reply.getHeaders())) {
        if (value !== undefined) raw.setHeader(name, value);
      }
      // Its end is the connection's end: no chunks to be made for each listener.
      raw.useChunkedEncodingByDefault = false;
      raw.writeHead(200, {
        "content-type": "text/event-stream",
        "cache-control": "no-store",
        "x-accel-buffering": "no",
        connection: "close",
      });
      raw.write(COMMENT);
      const outbox = new Outbox({
        write: (frame) => raw.write(frame),
        missed: () => hub.missed(),
      });
      const last = request.headers["last-event-id"];
      const leave = delivery.join(
        {
          take: (events) => {
            // One write for all of them.
            raw.cork();
            for (const numbered of events) outbox.push(numbered);
            raw.uncork();
          },
        },
        // What is no number was never given out: the same as one that is not known any more.
        last === undefined ? undefined : /^\d{1,16}$/.test(String(last)) ? Number(last) : -1,
      );
      let blockedBeats = 0;
      const listener: Listener = {
        beat: () => {
          blockedBeats = outbox.blocked ? blockedBeats + 1 : 0;
          if (blockedBeats > BLOCKED_HEARTBEATS_MAX) raw.destroy();
          else if (!stillAllowed(request.headers.authorization)) raw.end();
          else if (!outbox.blocked) raw.write(COMMENT);
        },
      };
      listeners.add(listener);
      raw.on("drain", () => outbox.drained());
      raw.on("close", () => {
        listeners.delete(listener);
        leave();
      });
      raw.on("error", () => raw.destroy());
    },
  );
}
