import { expect, test } from "vitest";

import { migrationOf } from "../../../test/fakes/fixtures.ts";
import { hear, RETRY_MS_MAX, type Heard } from "./events.ts";
import { Refused, unreachable } from "./refusal.ts";

const message = (id: number, data: unknown): string => `id: ${id}\ndata: ${JSON.stringify(data)}\n\n`;
const migration = (fraction: number) => ({
  type: "migration",
  migration: migrationOf({ phase: "copying", id: `m-${fraction}` }),
});

/** Answers each connection in turn, then ends the test. */
async function heard(answers: readonly string[]) {
  const end = new AbortController();
  const lastIds: (string | undefined)[] = [];
  const waits: number[] = [];
  const agent = {
    request: (_: string, init: RequestInit): Promise<Response> => {
      const answer = answers[lastIds.length];
      lastIds.push((init.headers as Record<string, string>)["last-event-id"]);
      if (answer === undefined) end.abort();
      if (answer === undefined || answer === "refused") return Promise.reject(new Refused(unreachable()));
      if (answer === "forbidden") {
        return Promise.reject(new Refused({ code: "X", what: "", next: "", status: 401 }));
      }
      return Promise.resolve(new Response(answer));
    },
  };
  const all: Heard[] = [];
  const wait = (ms: number): Promise<void> => {
    waits.push(ms);
    return Promise.resolve();
  };
  const refused = await (async () => {
    for await (const each of hear(agent, end.signal, wait)) all.push(each);
  })().then(
    () => undefined,
    (error: unknown) => error,
  );
  return { all, lastIds, waits, refused };
}

test("a lost connection is taken up after the last event heard", async () => {
  const { all, lastIds } = await heard([
    message(7, migration(1)) + message(8, migration(2)),
    message(9, migration(3)),
  ]);
  expect(lastIds).toEqual([undefined, "8", "9"]);
  expect(all.map((each) => each.is)).toEqual(["open", "event", "event", "lost", "open", "event", "lost"]);
  expect(all.filter((each) => each.is === "open").map((each) => each.again)).toEqual([false, true]);
});

test("an agent that stays away is asked again, ever more slowly up to a limit", async () => {
  const { waits } = await heard(Array.from({ length: 9 }, () => "refused" as const));
  expect(waits.slice(0, 3)).toEqual([250, 500, 1000]);
  expect(Math.max(...waits)).toBe(RETRY_MS_MAX);
});

test("a refused token is not tried again", async () => {
  const { refused, lastIds } = await heard(["forbidden", message(1, migration(1))]);
  expect(refused).toBeInstanceOf(Refused);
  expect(lastIds).toHaveLength(1);
});

test("an event of unknown shape ends the connection, not the page", async () => {
  const { all } = await heard([message(1, { type: "surprise" }), message(2, migration(1))]);
  expect(all.map((each) => each.is)).toEqual(["open", "lost", "open", "event", "lost"]);
});

test("one event in two chunks is one event; comments are nothing", async () => {
  const { all } = await heard([`:\n\n${message(1, migration(1))}:\n\n`]);
  expect(all.filter((each) => each.is === "event")).toHaveLength(1);
});
