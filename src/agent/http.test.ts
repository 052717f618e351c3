/** The agent's HTTP as programs meet it, at the real listeners: pages, idempotency keys, audit, recordings, files. */
import { expect, test } from "vitest";

import { machine, progressOf, reportOf } from "../../test/fakes/fixtures.ts";
import { aborted, recordOf } from "../../test/fakes/records.ts";
import { ServedAgent } from "../../test/fakes/served-agent.ts";
import { connectAgent } from "../api/client.ts";
import { openapi } from "../api/openapi.ts";
import { localRoutes } from "../api/routes.ts";

const vmRecord = {
  name: "db-1",
  machine,
  accelerator: "tcg",
  owner: "b",
  handle: null,
  migration: null,
} as const;
const minute = (n: number): string => new Date(Date.parse("2026-01-01T00:00:00Z") + n * 60e3).toISOString();

test("migrations come in pages, by VM, outcome and time; the next page is in the body and in the Link header", async () => {
  await using served = await ServedAgent.start();
  for (let n = 0; n < 25; n += 1) {
    const vm = n % 2 === 0 ? "even" : "odd";
    const state = n % 5 === 0 ? aborted : ({ phase: "done" } as const);
    served.store.commit(recordOf({ id: `m-${n}`, vm, startedAt: minute(n), state }));
  }
  const token = await served.token("reader", "read");
  const client = connectAgent({ url: served.url, token });
  const ids: string[] = [];
  let cursor: string | undefined;
  do {
    const page = await client.migrations({ query: { limit: 10, cursor } });
    ids.push(...page.items.map(({ id }) => id));
    cursor = page.next ?? undefined;
  } while (cursor !== undefined);
  expect(ids).toEqual(Array.from({ length: 25 }, (_, n) => `m-${24 - n}`));

  const failed = await client.migrations({ query: { vm: "even", outcome: "failed", since: minute(5) } });
  expect(failed.items.map(({ id, outcome }) => [id, outcome])).toEqual([
    ["m-20", "failed"],
    ["m-10", "failed"],
  ]);

  const headers = { authorization: `Bearer ${token}` };
  const first = await fetch(`${served.url}/migrations?limit=20&vm=odd`, { headers });
  expect(first.headers.get("link")).toBeNull();
  const page = await fetch(`${served.url}/migrations?limit=7&vm=odd`, { headers });
  const next = /^<(.+)>; rel="next"$/.exec(page.headers.get("link") ?? "")?.[1];
  const { items } = (await (await fetch(new URL(next ?? "", served.url), { headers })).json()) as {
    items: { id: string }[];
  };
  expect(items.map(({ id }) => id)).toEqual(["m-9", "m-7", "m-5", "m-3", "m-1"]);
});

test("a list of migrations says what each came to, as far as its report knows", async () => {
  await using served = await ServedAgent.start();
  for (const id of ["m-1", "m-2", "m-3"]) served.store.commit(recordOf({ id }));
  const report = reportOf({ id: "m-1" });
  served.store.putReport("m-1", report);
  const unseen = { ...report.metrics, total_time_ms: null };
  served.store.putReport("m-2", reportOf({ id: "m-2", metrics: unseen }));
  const { items } = await served.client.migrations();
  expect(new Map(items.map(({ id, figures }) => [id, figures]))).toEqual(
    new Map([
      ["m-1", { totalMs: 3200, pauseMs: 123.5 }],
      ["m-2", { totalMs: null, pauseMs: 123.5 }],
      ["m-3", undefined],
    ]),
  );
});

test("VMs come in pages when a limit is asked for", async () => {
  await using served = await ServedAgent.start({ fakeQemu: true });
  for (const name of ["c", "a", "b"]) {
    await served.client.run({ body: { ...machine, metadata: { name } } });
  }
  const headers = { authorization: `Bearer ${await served.token("reader", "read")}` };
  const names: string[] = [];
  for (let path: string | undefined = "/vms?limit=2"; path !== undefined;) {
    const answer: Response = await fetch(new URL(path, served.url), { headers });
    names.push(...((await answer.json()) as { name: string }[]).map(({ name }) => name));
    path = /^<(.+)>/.exec(answer.headers.get("link") ?? "")?.[1];
  }
  expect(names).toEqual(["a", "b", "c"]);
  expect(await served.client.vms()).toHaveLength(3);
});

test("a POST repeated under its key starts one VM, and another body under it none", async () => {
  await using served = await ServedAgent.start({ fakeQemu: true });
  const token = await served.token("admin", "administer");
  const post = (name: string): Promise<Response> =>
    fetch(`${served.url}/vms`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${token}`,
        "content-type": "application/json",
        "idempotency-key": "once",
      },
      body: JSON.stringify({ ...machine, metadata: { name } }),
    });
  const [first, second] = await Promise.all([post("db-1"), post("db-1")]);
  const third = await post("db-1");
  expect([first.status, second.status, third.status]).toEqual([201, 201, 201]);
  expect(third.headers.get("idempotency-replayed")).toBe("true");
  expect(third.headers.get("location")).toBe("/vms/db-1");
  const [one, two, three] = await Promise.all([first.json(), second.json(), third.json()]);
  expect([two, three]).toEqual([one, one]);
  const other = await post("db-2");
  expect([other.status, ((await other.json()) as { code: string }).code]).toEqual([
    409,
    "IDEMPOTENCY_CONFLICT",
  ]);
  expect((await served.client.vms()).map(({ name }) => name)).toEqual(["db-1"]);
  const { items } = await served.client.audit({ query: { limit: 2 } });
  expect(items.map(({ to, code }) => [to, code])).toEqual([
    ["POST /vms", "IDEMPOTENCY_CONFLICT"],
    ["POST /vms db-1 (answered again)", null],
  ]);
});

test("a token's text is in one answer only, whatever key was sent", async () => {
  await using served = await ServedAgent.start();
  const { token } = await served.client.createToken({
    body: { name: "x", rights: ["read"] },
    idempotencyKey: "k",
  });
  const rows = served.store.database.sql.prepare("SELECT answer FROM idempotency").all();
  expect(JSON.stringify(rows)).not.toContain(token);
});

test("changes and refusals are in the audit log with who did them; reading is not", async () => {
  await using served = await ServedAgent.start();
  const token = await served.token("reader", "read");
  const reader = connectAgent({ url: served.url, token });
  await reader.migrations();
  await reader.cleanup().catch(() => {});
  await fetch(`${served.url}/vms`);
  await served.client.cancel({ params: { id: "m-9" } }).catch(() => {});
  await served.client.cleanup();
  const { items } = await served.client.audit();
  expect(items.map(({ who, what, to, outcome, code }) => [who, what, to, outcome, code])).toEqual([
    ["socket", "cleanup", "POST /cleanup", "done", null],
    ["socket", "cancel", "POST /migrations/m-9/cancel", "refused", "MIGRATION_UNKNOWN"],
    ["nobody 127.0.0.1", "vms", "GET /vms", "refused", "TOKEN_NEEDED"],
    ["token reader", "cleanup", "POST /cleanup", "refused", "RIGHT_MISSING"],
    ["socket", "createToken", "POST /tokens reader", "done", null],
  ]);
  expect(JSON.stringify(items)).not.toContain(token);
  expect(await served.client.auditVerification()).toMatchObject({ ok: true, entries: 5 });
  served.store.database.sql.exec("DELETE FROM audit WHERE seq = 3");
  expect(await served.client.auditVerification()).toMatchObject({ ok: false, broken: { seq: 3 } });
});

test("a full disk refuses new work with its code, and nothing else", async () => {
  await using served = await ServedAgent.start({ fakeQemu: true, store: { bytesMax: 512 * 1024 } });
  const { sql } = served.store.database;
  const untilFull = (write: (n: number) => void): void =>
    expect(() => {
      for (let n = 0; ; n += 1) write(n);
    }).toThrow("disk is full");
  untilFull((n) => served.store.commit(recordOf({ id: `m-${n}` })));
  untilFull((n) => served.store.putVm({ ...vmRecord, name: `filler-${n}` }));
  const full = Number(sql.prepare("PRAGMA page_count").get()?.["page_count"]);
  const refused = served.client.run({ body: machine });
  await expect(refused).rejects.toMatchObject({ code: "DISK_FULL", status: 507 });
  expect(await served.client.vms()).toEqual([]);
  expect((await served.client.migrations()).items.length).toBeGreaterThan(0);
  sql.exec(`PRAGMA max_page_count = ${full * 10}`);
  expect((await served.client.run({ body: machine })).state).toBe("running");
  expect(await served.client.auditVerification()).toMatchObject({ ok: true });
});

test("while the audit log cannot be written new work is refused, and what ends work is not", async () => {
  await using served = await ServedAgent.start({ fakeQemu: true });
  const { sql } = served.store.database;
  const { name } = await served.client.run({ body: machine });
  sql.exec(
    "CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END",
  );
  await served.client.stop({ params: { name } });
  await expect(served.client.run({ body: machine })).rejects.toMatchObject({ code: "DISK_FULL" });
  sql.exec("DROP TRIGGER full");
  await served.client.run({ body: machine });
  const { items } = await served.client.audit();
  expect(items.map(({ what, outcome }) => [what, outcome])).toEqual([
    ["run", "done"],
    ["run", "refused"],
    ["stop", "done"],
    ["run", "done"],
  ]);
});

test("a recording is what was seen: samples in time, the timeline, the view", async () => {
  await using served = await ServedAgent.start();
  const record = recordOf({ id: "m-1" });
  served.store.commit(record);
  for (const elapsedMs of [0, 250, 500]) {
    const view = { ...served.agent.view(record), progress: progressOf({ elapsedMs }) };
    served.agent.hub.publish({ type: "migration", migration: view });
  }
  const token = await served.token("reader", "read");
  const client = connectAgent({ url: served.url, token });
  const recording = await client.recording({ params: { id: "m-1" } });
  expect(recording.samples.map(({ atMs }) => atMs)).toEqual([0, 250, 500]);
  expect(recording.timeline).toEqual([
    { atMs: 0, host: "a", what: "accepted" },
    { atMs: 500, host: "a", what: "source copying" },
  ]);
  expect(recording.view).toMatchObject({ id: "m-1", outcome: "done" });
  expect((await client.recordings()).items.map(({ id }) => id)).toEqual(["m-1"]);
  await expect(client.recording({ params: { id: "m-2" } })).rejects.toMatchObject({
    code: "MIGRATION_UNKNOWN",
  });
});

test("the served OpenAPI document is the published one, and holds every route with its right", async () => {
  await using served = await ServedAgent.start();
  const document = (await (await fetch(`${served.url}/openapi.json`)).json()) as ReturnType<typeof openapi>;
  expect(document).toEqual(JSON.parse(JSON.stringify(openapi())));
  const operations = Object.values(
    document["paths"] as Record<string, Record<string, Record<string, unknown>>>,
  )
    .flatMap((path) => Object.values(path))
    .map((operation) => [operation["operationId"], operation["x-godwit-right"]]);
  for (const [name, route] of Object.entries(localRoutes))
    expect(operations).toContainEqual([name, route.right]);
  const text = JSON.stringify(document);
  const names = Object.keys((document["components"] as { schemas: object }).schemas);
  for (const [, name] of text.matchAll(/"#\/components\/schemas\/(\w+)"/g)) expect(names).toContain(name);
});

test("a migration that has ended can neither be cancelled nor recovered, and each is said in its own words", async () => {
  await using served = await ServedAgent.start();
  served.store.commit(recordOf({ id: "m-1" }));
  const params = { id: "m-1" };
  await expect(served.client.cancel({ params })).rejects.toMatchObject({ code: "TOO_LATE" });
  await expect(served.client.recover({ params })).rejects.toMatchObject({ code: "NOTHING_TO_RECOVER" });
});
