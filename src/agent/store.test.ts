/** The store at its boundary: what was committed is there, whatever happened to the process, the disk or the version. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, expect, test } from "vitest";

import { aborted, recordOf } from "../../test/fakes/records.ts";
import { CodedError } from "../std/errors.ts";
import { FORGOTTEN_LOT, Store } from "./store.ts";

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "godwit-store-"));
  file = join(folder, "agent.db");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const at = (minute: number): string =>
  new Date(Date.parse("2026-01-01T00:00:00Z") + minute * 60e3).toISOString();
const whole = (): string => {
  const db = new DatabaseSync(file);
  const answer = String(db.prepare("PRAGMA integrity_check").get()?.["integrity_check"]);
  db.close();
  return answer;
};
const codeOf = (run: () => unknown): string => {
  try {
    run();
    return "nothing";
  } catch (error) {
    return error instanceof CodedError ? error.code : String(error);
  }
};

/** A file as the first version wrote it. */
function oldFile(): void {
  const db = new DatabaseSync(file);
  db.exec(
    `CREATE TABLE vm (name TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT;
     CREATE TABLE migration (id TEXT PRIMARY KEY, started TEXT NOT NULL, record TEXT NOT NULL, report TEXT) STRICT;
     CREATE TABLE journal (seq INTEGER PRIMARY KEY AUTOINCREMENT, migration TEXT NOT NULL, at TEXT NOT NULL, state TEXT NOT NULL) STRICT;
     CREATE INDEX journal_by_migration ON journal (migration, seq);
     CREATE INDEX migration_by_start ON migration (started DESC);
     PRAGMA user_version = 1;`,
  );
  const insert = db.prepare("INSERT INTO migration (id, started, record) VALUES (?, ?, ?)");
  for (const [minute, record] of [
    recordOf({ id: "m-done", vm: "one" }),
    recordOf({ id: "m-failed", vm: "two", state: aborted }),
    recordOf({ id: "m-active", vm: "two", state: { phase: "preparing" } }),
  ].entries()) {
    insert.run(record.id, at(minute), JSON.stringify({ ...record, startedAt: at(minute) }));
  }
  db.close();
}

test("a file of the first version is brought forward, and its migrations can be filtered", () => {
  oldFile();
  const store = new Store(file);
  const ids = (filter: Parameters<Store["migrations"]>[1]) =>
    store.migrations(10, filter).items.map(({ id }) => id);
  expect(ids({})).toEqual(["m-active", "m-failed", "m-done"]);
  expect(ids({ vm: "two" })).toEqual(["m-active", "m-failed"]);
  expect(ids({ outcome: "failed" })).toEqual(["m-failed"]);
  expect(ids({ outcome: "active" })).toEqual(["m-active"]);
  expect(ids({ since: at(1) })).toEqual(["m-active", "m-failed"]);
  store.close();
  expect(new Store(file).migrations(10).items).toHaveLength(3);
});

test("a file of a newer version is refused, and left as it is", () => {
  const db = new DatabaseSync(file);
  db.exec("PRAGMA user_version = 999");
  db.close();
  expect(codeOf(() => new Store(file))).toBe("STATE_NEWER");
  expect(whole()).toBe("ok");
});

test("a step of the schema that fails changes nothing", () => {
  oldFile();
  const db = new DatabaseSync(file);
  db.exec("INSERT INTO migration (id, started, record) VALUES ('bad', '2026', '{')");
  db.close();
  expect(() => new Store(file)).toThrow();
  const after = new DatabaseSync(file);
  expect(after.prepare("PRAGMA user_version").get()?.["user_version"]).toBe(1);
  after.close();
});

test("all pages together are all migrations, once each, newest first, while new ones begin", () => {
  const store = new Store(file, { synchronous: "NORMAL" });
  // Some begin in the same millisecond.
  for (let n = 0; n < 50; n += 1) store.commit(recordOf({ id: `m-${n}`, startedAt: at(Math.floor(n / 3)) }));
  const seen: string[] = [];
  for (let cursor: string | undefined; ;) {
    const page = store.migrations(7, {}, cursor);
    seen.push(...page.items.map(({ id }) => id));
    store.commit(recordOf({ id: `new-${seen.length}`, startedAt: at(1000 + seen.length) }));
    if (page.next === null) break;
    cursor = page.next;
  }
  expect(seen).toEqual(Array.from({ length: 50 }, (_, n) => `m-${49 - n}`));
  store.close();
});

test.each([
  "x",
  "W10",
  Buffer.from('["2026", "x"]').toString("base64url"),
  Buffer.from("{}").toString("base64url"),
])("the cursor %s is refused", (cursor) => {
  const store = new Store(file);
  expect(codeOf(() => store.migrations(1, {}, cursor))).toBe("REQUEST_INVALID");
  store.close();
});

test("a page of ten thousand migrations reads the page, not the ten thousand", () => {
  const store = new Store(file, { synchronous: "NORMAL" });
  const plan = (sql: string): string =>
    store.database.sql
      .prepare(`EXPLAIN QUERY PLAN ${sql}`)
      .all()
      .map((row) => String(row["detail"]))
      .join("; ");
  const order = "ORDER BY started DESC, rowid DESC LIMIT 100";
  for (const where of ["TRUE", "vm = 'x'", "outcome = 'done'", "(started, rowid) < ('2026', 5)"]) {
    const shown = plan(`SELECT record FROM migration WHERE ${where} ${order}`);
    expect(shown).toContain("USING INDEX");
    expect(shown).not.toContain("TEMP B-TREE");
  }
  store.close();
});

test("ended migrations beyond the limit are forgotten with their journal; others never", () => {
  const store = new Store(file, { synchronous: "NORMAL", migrationsKept: 5 });
  store.commit(recordOf({ id: "active", startedAt: at(0), state: { phase: "preparing" } }));
  const last = 5 + FORGOTTEN_LOT;
  for (let n = 1; n <= last; n += 1) store.commit(recordOf({ id: `m-${n}`, startedAt: at(n) }));
  const ids = store.migrations(1000).items.map(({ id }) => id);
  expect(ids).toEqual([...Array.from({ length: 5 }, (_, n) => `m-${last - n}`), "active"]);
  expect(store.journal("m-1")).toEqual([]);
  expect(store.journal(`m-${last}`)).toHaveLength(1);
  store.close();
});

test("a file that may not grow refuses with DISK_FULL, keeps what it has, and goes on when it may", () => {
  const store = new Store(file, { bytesMax: 256 * 1024 });
  const committed: string[] = [];
  const refused = codeOf(() => {
    for (let n = 0; n < 10_000; n += 1) {
      store.commit(recordOf({ id: `m-${n}` }));
      committed.push(`m-${n}`);
    }
  });
  expect(refused).toBe("DISK_FULL");
  expect(store.migrations(1000).items.map(({ id }) => id)).toEqual(committed.toReversed());
  expect(codeOf(() => store.commit(recordOf({ id: "again" })))).toBe("DISK_FULL");
  store.database.sql.exec("PRAGMA max_page_count = 1000000");
  store.commit(recordOf({ id: "after" }));
  store.close();
  expect(whole()).toBe("ok");
});

test("kill -9 in the middle of commits loses none that was told, and leaves the file whole", async () => {
  const code = `
    import { Store } from ${JSON.stringify(join(import.meta.dirname, "store.ts"))};
    import { recordOf } from ${JSON.stringify(join(import.meta.dirname, "../../test/fakes/records.ts"))};
    const store = new Store(${JSON.stringify(file)}, { migrationsKept: 100_000 });
    for (let n = 0; ; n += 1) {
      store.commit(recordOf({ id: "m-" + n }), { put: { name: "v", machine: {}, n } });
      process.stdout.write(n + "\\n");
      await new Promise((resolve) => setImmediate(resolve));
    }`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", code], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let told = "";
  await new Promise<void>((resolve) => {
    child.once("exit", () => resolve());
    child.stdout.on("data", (chunk: Buffer) => {
      told += chunk.toString();
      if (told.split("\n").length > 20) child.kill("SIGKILL");
    });
  });
  const last = Number(told.trim().split("\n").at(-1));
  expect(last).toBeGreaterThan(10);
  expect(whole()).toBe("ok");
  const store = new Store(file);
  for (let n = 0; n <= last; n += 1) expect(store.journal(`m-${n}`)).toHaveLength(1);
  // The VM's record changed with the journal, or not at all.
  const count = store.migrations(1000).items.length;
  const vm = store.database.sql.prepare("SELECT record FROM vm").get();
  expect((JSON.parse(String(vm?.["record"])) as { n: number }).n).toBe(count - 1);
  store.close();
});
