/** A request repeated under its key takes effect once; judged by what the agent did, not by what it stored. */
import { afterEach, beforeEach, expect, test } from "vitest";

import { CodedError } from "../std/errors.ts";
import { Database } from "./database.ts";
import { Idempotency, type Keyed, REMEMBERED_MS } from "./idempotency.ts";
import { AGENT_SCHEMA } from "./schema.ts";

let database: Database;
let nowMs = 1_000_000;
let effects = 0;
let keys: Idempotency;

beforeEach(() => {
  database = new Database(":memory:", AGENT_SCHEMA);
  effects = 0;
  keys = new Idempotency(database, () => nowMs);
});
afterEach(() => database.close());

const asked: Keyed = { who: "token a", key: "k", method: "POST", path: "/vms", body: { x: 1, y: [2] } };
const effect = async () => ({ n: (effects += 1) });
const codeOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => "nothing",
    (error: unknown) => (error instanceof CodedError ? error.code : error),
  );

test("the same request again gets the first answer, and no second effect", async () => {
  const first = await keys.once(asked, effect);
  const again = await keys.once({ ...asked, body: { y: [2], x: 1 } }, effect);
  expect([first, again]).toEqual([
    { answer: { n: 1 }, replayed: false },
    { answer: { n: 1 }, replayed: true },
  ]);
  expect(effects).toBe(1);
});

test("two at the same time are one", async () => {
  const answers = await Promise.all([keys.once(asked, effect), keys.once(asked, effect)]);
  expect(answers.map(({ answer }) => answer)).toEqual([{ n: 1 }, { n: 1 }]);
  expect(effects).toBe(1);
});

test.each([
  ["body", { ...asked, body: { x: 1, y: [2, 3] } }],
  ["path", { ...asked, path: "/vms/other/pause" }],
] as const)("the key of another request is refused: another %s", async (_what, other) => {
  await keys.once(asked, effect);
  expect(await codeOf(keys.once(other, effect))).toBe("IDEMPOTENCY_CONFLICT");
  expect(effects).toBe(1);
});

test("a key is its caller's own", async () => {
  await keys.once(asked, effect);
  expect((await keys.once({ ...asked, who: "token b" }, effect)).replayed).toBe(false);
});

test("a refused request is tried again", async () => {
  const refused = keys.once(asked, () => Promise.reject(new CodedError("DISK_FULL", { what: "x" })));
  expect(await codeOf(refused)).toBe("DISK_FULL");
  expect((await keys.once(asked, effect)).answer).toEqual({ n: 1 });
});

test("what a crash left undecided is said, not repeated", async () => {
  void keys.once(asked, () => new Promise(() => {}));
  const afterRestart = new Idempotency(database, () => nowMs);
  expect(await codeOf(afterRestart.once(asked, effect))).toBe("IDEMPOTENCY_UNCERTAIN");
  expect(effects).toBe(0);
});

test("an effect whose answer the disk does not take is answered all the same, and not repeated", async () => {
  database.sql.exec(
    "CREATE TRIGGER full BEFORE UPDATE ON idempotency BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END",
  );
  expect((await keys.once(asked, effect)).answer).toEqual({ n: 1 });
  expect(await keys.once(asked, effect)).toEqual({ answer: { n: 1 }, replayed: true });
  expect(effects).toBe(1);
});

test("a day later the key is free", async () => {
  await keys.once(asked, effect);
  nowMs += REMEMBERED_MS + 1;
  expect((await keys.once({ ...asked, body: {} }, effect)).replayed).toBe(false);
});

test.each(["", " ", "a b", "ä", "x".repeat(256)])("%j is no key", async (key) => {
  expect(await codeOf(keys.once({ ...asked, key }, effect))).toBe("REQUEST_INVALID");
});
