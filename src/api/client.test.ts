/** The client at its boundary: what it makes of an agent's answers, good, refused, foreign and absent. */
import { expect, test } from "vitest";

import { FakeAgent, until } from "../../test/fakes/agent.ts";
import { migrationOf, vm } from "../../test/fakes/fixtures.ts";
import { CodedError } from "../std/errors.ts";
import { connectAgent } from "./client.ts";
import type { MigrationView } from "./migration.ts";
import { ANSWER_BYTES_MAX } from "./transport.ts";

const refusalOf = async (promise: Promise<unknown>): Promise<CodedError> => {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof CodedError) return error;
  throw new Error(`not a refusal: ${String(error)}`);
};

test("params, query and body arrive where the route says", async () => {
  await using agent = await FakeAgent.start({ vms: () => [vm()], migrate: () => migrationOf() });
  const client = connectAgent(agent.socketPath);
  await client.vms({ query: { scope: "all" } });
  await client.migrate({ params: { name: "db-1" }, body: { target: "b" } });
  expect(
    agent.calls.map(({ key, asked }) => [key, asked.params, asked.query.toString(), asked.body]),
  ).toEqual([
    ["vms", {}, "scope=all", undefined],
    ["migrate", { name: "db-1" }, "", { target: "b" }],
  ]);
});

test("a name cannot leave its place in the path", async () => {
  await using agent = await FakeAgent.start({ vm: () => vm() });
  const client = connectAgent(agent.socketPath);
  await client.vm({ params: { name: "../x?y" } });
  expect(agent.calls[0]?.asked.params).toEqual({ name: "..%2Fx%3Fy" });
});

test("a problem document becomes the refusal it was", async () => {
  await using agent = await FakeAgent.start({
    vm: () => {
      throw new CodedError("VM_ELSEWHERE", { vm: "db-1", host: "b" });
    },
  });
  const refused = await refusalOf(connectAgent(agent.socketPath).vm({ params: { name: "db-1" } }));
  expect(refused.code).toBe("VM_ELSEWHERE");
  expect(refused.message).toBe("VM db-1 does not run here; it is on host b.");
  expect(refused.next).toContain("--host b");
});

test("a code this version does not know keeps its sentence and its next step", async () => {
  await using agent = await FakeAgent.start({}, (_, outgoing) => {
    outgoing.writeHead(418);
    outgoing.end(
      JSON.stringify({
        type: "about:blank",
        title: "T",
        status: 418,
        code: "TEAPOT",
        detail: "Short and stout.",
        next: "Pour.",
      }),
    );
  });
  const refused = await refusalOf(connectAgent(agent.socketPath).host());
  expect(refused.code).toBe("PEER_REFUSED");
  expect(refused.message).toContain("Short and stout. (TEAPOT)");
  expect(refused.next).toBe("Pour.");
});

test.each([
  ["text that is not JSON", 200, "<html>"],
  ["JSON of another shape", 200, '{"facts":1}'],
  ["an error without a problem document", 500, "{}"],
])("a foreign answer is refused: %s", async (_name, status, text) => {
  await using agent = await FakeAgent.start({}, (_, outgoing) => {
    outgoing.writeHead(status);
    outgoing.end(text);
  });
  expect((await refusalOf(connectAgent(agent.socketPath).host())).code).toBe("PEER_GARBAGE");
});

test("an answer without end is cut off at the limit", async () => {
  const block = Buffer.alloc(2 ** 20, " ");
  let sentBytes = 0;
  await using agent = await FakeAgent.start({}, (_, outgoing) => {
    outgoing.writeHead(200);
    const pour = (): void => {
      while (!outgoing.destroyed && sentBytes < ANSWER_BYTES_MAX * 4) {
        sentBytes += block.length;
        if (!outgoing.write(block)) {
          outgoing.once("drain", pour);
          return;
        }
      }
    };
    pour();
  });
  const refused = await refusalOf(connectAgent(agent.socketPath).host());
  expect(refused.code).toBe("PEER_GARBAGE");
  expect(sentBytes).toBeLessThan(ANSWER_BYTES_MAX * 4);
});

test("no socket, and a socket nobody listens on, are an agent that cannot be reached", async () => {
  await using agent = await FakeAgent.start({});
  await agent.down();
  expect((await refusalOf(connectAgent(agent.socketPath).host())).code).toBe("AGENT_UNREACHABLE");
  expect((await refusalOf(connectAgent("/nonexistent/x.sock").host())).code).toBe("AGENT_UNREACHABLE");
});

test("a silent agent is given up after the time allowed", async () => {
  await using agent = await FakeAgent.start({}, () => {});
  expect((await refusalOf(connectAgent(agent.socketPath).host({ timeoutMs: 20 }))).code).toBe("PEER_STALLED");
});

test("the caller's signal ends a call with the caller's reason", async () => {
  await using agent = await FakeAgent.start({}, () => {});
  const reason = new Error("enough");
  const stop = new AbortController();
  const call = connectAgent(agent.socketPath).host({ signal: stop.signal });
  stop.abort(reason);
  await expect(call).rejects.toBe(reason);
});

test("events go on after the agent came back, from the last one seen", async () => {
  await using agent = await FakeAgent.start({});
  const stop = new AbortController();
  const names: string[] = [];
  const reading = (async () => {
    for await (const event of connectAgent(agent.socketPath).events({ signal: stop.signal })) {
      if (event.type === "vm-gone") names.push(event.name);
      if (names.length === 2) return;
    }
  })();
  await until(() => agent.listeners === 1, "the first stream opens");
  agent.send({ type: "vm-gone", name: "one" });
  await until(() => names.length === 1, "the first event arrives");
  await agent.down();
  await agent.up();
  await until(() => agent.listeners === 1, "the stream opens again");
  agent.send({ type: "vm-gone", name: "two" });
  await reading;
  expect(names).toEqual(["one", "two"]);
  expect(agent.lastEventIds).toEqual([undefined, "1"]);
});

test("an event of unknown shape is refused", async () => {
  await using agent = await FakeAgent.start({}, (_, outgoing) => {
    outgoing.writeHead(200);
    outgoing.write('data: {"type":"surprise"}\n\n');
  });
  expect((await refusalOf(connectAgent(agent.socketPath).events().next())).code).toBe("PEER_GARBAGE");
});

test("following ends with the view that has an outcome, told by an event", async () => {
  let state: MigrationView = migrationOf();
  await using agent = await FakeAgent.start({ migration: () => state });
  const phases: string[] = [];
  const following = (async () => {
    for await (const view of connectAgent(agent.socketPath).follow("m-1")) phases.push(view.phase);
  })();
  await until(() => agent.listeners === 1 && phases.length > 0, "following has begun");
  agent.send({ type: "migration", migration: migrationOf({ id: "other", phase: "fetching" }) });
  agent.send({ type: "migration", migration: migrationOf({ phase: "switching" }) });
  await until(() => phases.includes("switching"), "the phase is seen");
  state = migrationOf({ phase: "done", outcome: "done" });
  agent.send({ type: "migration", migration: state });
  await following;
  expect(phases.filter((phase, index) => phase !== phases[index - 1])).toEqual([
    "copying",
    "switching",
    "done",
  ]);
});

test("following lives through an agent's restart, and says that it waits", async () => {
  let state: MigrationView = migrationOf();
  await using agent = await FakeAgent.start({ migration: () => state });
  const told: string[] = [];
  const phases: string[] = [];
  const following = (async () => {
    const options = { onWaiting: (sentence: string) => void told.push(sentence) };
    for await (const view of connectAgent(agent.socketPath).follow("m-1", undefined, options)) {
      phases.push(view.phase);
    }
  })();
  await until(() => phases.length > 0, "following has begun");
  await agent.down();
  await until(() => told.length === 1, "waiting is told");
  state = migrationOf({ phase: "done", outcome: "done" });
  await agent.up();
  await following;
  expect(phases.at(-1)).toBe("done");
  expect(told[0]).toContain("waiting up to");
  expect(told[1]).toBe("");
});

test("an agent that stays away is given up when the patience is used up", async () => {
  await using agent = await FakeAgent.start({ migration: () => migrationOf() });
  const follow = connectAgent(agent.socketPath).follow("m-1", undefined, { patienceMs: 10 });
  await follow.next();
  await agent.down();
  expect((await refusalOf(follow.next())).code).toBe("AGENT_UNREACHABLE");
});
