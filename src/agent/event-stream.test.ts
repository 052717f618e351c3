/** GET /events at the real listener: continued where it ended, honest about what was missed, and cheap with a thousand. */
import { request, type IncomingMessage } from "node:http";

import { expect, test } from "vitest";

import { until } from "../../test/fakes/agent.ts";
import { migrationOf, progressOf } from "../../test/fakes/fixtures.ts";
import { recordOf } from "../../test/fakes/records.ts";
import { ServedAgent } from "../../test/fakes/served-agent.ts";
import { connectAgent } from "../api/client.ts";
import { agentEvent, type AgentEvent } from "../api/host.ts";
import { EVENTS_KEPT } from "./events.ts";

const PATIENCE_MS = 25_000;

interface Listener {
  readonly events: { readonly id: number; readonly event: AgentEvent }[];
  readonly incoming: IncomingMessage;
  bytes: number;
}

/** A listener that takes what comes, or nothing until it is resumed. */
function listener(served: ServedAgent, token: string, lastId?: string, takes = true): Promise<Listener> {
  return new Promise((resolve, reject) => {
    const headers = {
      authorization: `Bearer ${token}`,
      ...(lastId === undefined ? {} : { "last-event-id": lastId }),
    };
    const { port } = served.address;
    const outgoing = request(
      { host: "127.0.0.1", port, path: "/events", headers, agent: false },
      (incoming) => {
        const one: Listener = { events: [], incoming, bytes: 0 };
        let text = "";
        incoming.setEncoding("utf8");
        incoming.on("error", () => {});
        const take = (chunk: string): void => {
          one.bytes += chunk.length;
          text += chunk;
          for (let end = text.indexOf("\n\n"); end !== -1; end = text.indexOf("\n\n")) {
            const found = /^id: (\d+)\ndata: (.*)$/.exec(text.slice(0, end));
            if (found !== null) {
              one.events.push({ id: Number(found[1]), event: agentEvent.parse(JSON.parse(found[2] ?? "")) });
            }
            text = text.slice(end + 2);
          }
        };
        if (incoming.statusCode !== 200) return reject(new Error(`status ${incoming.statusCode}`));
        incoming.on("data", take);
        if (!takes) incoming.pause();
        resolve(one);
      },
    );
    outgoing.on("error", reject);
    outgoing.end();
  });
}

const names = ({ events }: Listener) =>
  events.map(({ event }) => (event.type === "vm-gone" ? event.name : event.type));
const gone = (served: ServedAgent, name: string): void => served.agent.hub.publish({ type: "vm-gone", name });

test("a stream is continued after the last event seen; an unknown one is answered with missed", async () => {
  await using served = await ServedAgent.start();
  const token = await served.token("reader", "read");
  const first = await listener(served, token);
  for (const name of ["one", "two", "three"]) gone(served, name);
  await until(() => first.events.length === 3, "three events");
  const id = first.events[0]?.id ?? 0;
  const again = await listener(served, token, String(id));
  const lost = await Promise.all([
    listener(served, token, String(id - 100_000)),
    listener(served, token, String(id + 100_000)),
    listener(served, token, "garbage"),
  ]);
  gone(served, "four");
  await until(() => again.events.length === 3, "the rest");
  await until(() => lost.every(({ events }) => events.length === 2), "missed, and what came after");
  expect(names(again)).toEqual(["two", "three", "four"]);
  for (const one of lost) expect(names(one)).toEqual(["missed", "four"]);
  for (const one of [first, again, ...lost]) one.incoming.destroy();
});

test("a stream ends when its token is revoked", async () => {
  await using served = await ServedAgent.start({ heartbeatMs: 20 });
  const token = await served.token("reader", "read");
  const one = await listener(served, token);
  const ended = new Promise((resolve) => one.incoming.once("close", resolve));
  await served.client.revokeToken({ params: { name: "reader" } });
  await ended;
  await expect(listener(served, token)).rejects.toThrow("401");
});

test("a listener that takes nothing holds no memory, keeps nobody waiting, and learns what it missed", async () => {
  await using served = await ServedAgent.start();
  const token = await served.token("reader", "read");
  const slow = await listener(served, token, undefined, false);
  const quick = await listener(served, token);
  // Far more than the sockets between the two take.
  const filler = "x".repeat(60_000);
  const rounds = 200;
  for (let n = 0; n < rounds; n += 1) {
    for (let vm = 0; vm < 3; vm += 1) {
      const migration = migrationOf({
        id: `m-${vm}`,
        reason: filler,
        progress: progressOf({ sentBytes: n }),
      });
      served.agent.hub.publish({ type: "migration", migration });
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  gone(served, "last");
  await until(() => names(quick).at(-1) === "last", "the quick one has everything", PATIENCE_MS);
  slow.incoming.resume();
  await until(() => names(slow).at(-1) === "last", "the slow one has caught up", PATIENCE_MS);
  // Progress it could not take was replaced by newer, never queued.
  expect(slow.events.length).toBeLessThan(quick.events.length);
  const newest = slow.events.findLast(
    ({ event }) => event.type === "migration" && event.migration.id === "m-2",
  );
  expect(newest?.event).toMatchObject({ migration: { progress: { sentBytes: rounds - 1 } } });
  for (const one of [slow, quick]) one.incoming.destroy();
});

test("a thousand listeners each get every event once, in order", async () => {
  await using served = await ServedAgent.start();
  const token = await served.token("reader", "read");
  const all = await Promise.all(Array.from({ length: 1000 }, () => listener(served, token)));
  const client = connectAgent({ url: served.url, token });
  const events = 50;
  for (let n = 0; n < events; n += 1) {
    gone(served, `vm-${n}`);
    // The agent answers others meanwhile.
    if (n % 10 === 0) expect((await client.whoami()).name).toBe("reader");
  }
  const expected = Array.from({ length: events }, (_, n) => `vm-${n}`);
  await until(() => all.every((one) => one.events.length >= events), "everybody has everything", PATIENCE_MS);
  for (const one of all) expect(names(one)).toEqual(expected);
  for (const one of all) one.incoming.destroy();
});

test("a listener away for longer than events are kept is told so when it comes back", async () => {
  await using served = await ServedAgent.start();
  const token = await served.token("reader", "read");
  const first = await listener(served, token);
  gone(served, "one");
  await until(() => first.events.length === 1, "the first event");
  first.incoming.destroy();
  for (let n = 0; n <= EVENTS_KEPT; n += 1) gone(served, `vm-${n}`);
  const client = connectAgent({ url: served.url, token });
  const back = client.events({ lastEventId: String(first.events[0]?.id) });
  expect((await back.next()).value).toEqual({ type: "missed" });
  await back.return(undefined as never);
});

test("what a client waits is told to those who listen, while the migration runs; nothing of it is kept or audited", async () => {
  await using served = await ServedAgent.start();
  served.store.commit(recordOf({ id: "m-1", state: { phase: "preparing" } }));
  served.store.commit(recordOf({ id: "m-2" }));
  const one = await listener(served, await served.token("reader", "read"));
  const audited = (await served.client.audit()).items.length;
  const sender = connectAgent({ url: served.url, token: await served.token("sender", "send-from-here") });
  const latency = { slice_ms: 10, longest_ms: [0.2, null, 120] };
  await sender.tellLatency({ params: { id: "m-2" }, body: latency });
  await sender.tellLatency({ params: { id: "m-1" }, body: latency });
  await until(() => one.events.length > 0, "the news");
  expect(one.events.map(({ event }) => event)).toEqual([{ type: "latency", migration: "m-1", latency }]);
  expect((await served.client.audit()).items).toHaveLength(audited + 1);
  await expect(
    connectAgent({ url: served.url, token: await served.token("other", "read") }).tellLatency({
      params: { id: "m-1" },
      body: latency,
    }),
  ).rejects.toMatchObject({ code: "RIGHT_MISSING" });
  one.incoming.destroy();
});
