/** The audit log at its boundary: what is in it, and that every way to tamper with its file shows. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import * as fc from "fast-check";
import { pino } from "pino";
import { afterEach, beforeEach, expect, test } from "vitest";

import { auditEntry } from "../api/audit.ts";
import { hashOf } from "./audit-chain.ts";
import { AuditLog, REFUSALS_PER_WINDOW, WINDOW_MS, type AuditOptions, type Note } from "./audit.ts";
import { Database } from "./database.ts";
import { AGENT_SCHEMA } from "./schema.ts";

let folder: string;
let database: Database;
let nowMs = Date.parse("2026-01-02T03:04:05.000Z");

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "godwit-audit-"));
  database = new Database(join(folder, "agent.db"), AGENT_SCHEMA, { synchronous: "NORMAL" });
});
afterEach(() => {
  database.close();
  rmSync(folder, { recursive: true, force: true });
});

const marksFile = () => join(folder, "audit.head");
const open = (options: AuditOptions = {}): AuditLog =>
  new AuditLog(database, marksFile(), pino({ level: "silent" }), { nowMs: () => nowMs, ...options });
const done = (what: string): Note => ({ who: "token a", what, to: "POST /x", outcome: "done", code: null });
const refusal: Note = {
  who: "nobody",
  what: "vms",
  to: "GET /vms",
  outcome: "refused",
  code: "TOKEN_NEEDED",
};
const filled = (count: number): AuditLog => {
  const log = open();
  for (let n = 0; n < count; n += 1) log.note(done(`change-${n}`));
  return log;
};

test("entries are listed newest first, page by page, and verify", () => {
  const log = filled(5);
  const first = log.list(3, undefined, undefined);
  expect(first.items.map(({ seq, what }) => [seq, what])).toEqual([
    [5, "change-4"],
    [4, "change-3"],
    [3, "change-2"],
  ]);
  const second = log.list(3, undefined, first.next ?? "");
  expect([second.items.map(({ seq }) => seq), second.next]).toEqual([[2, 1], null]);
  expect(log.verify()).toMatchObject({ ok: true, entries: 5, head: { seq: 5 }, broken: null });
});

test("an empty log is whole", () => {
  expect(open().verify()).toMatchObject({ ok: true, entries: 0, from: null });
});

test("the chain goes on after a restart", () => {
  filled(2);
  const again = open();
  again.note(done("later"));
  expect(again.verify()).toMatchObject({ ok: true, entries: 3 });
});

const COUNT = 8;
/** Each way to tamper, at an entry, and where it must show. */
const ways: Record<string, (seq: number) => number> = {
  "change a field": (seq) => {
    const text = String(database.sql.prepare("SELECT entry FROM audit WHERE seq = ?").get(seq)?.["entry"]);
    const changed = text.replace("token a", "token b");
    database.sql.prepare("UPDATE audit SET entry = ? WHERE seq = ?").run(changed, seq);
    return seq;
  },
  "change a field and its hash to match": (seq) => {
    const row = database.sql.prepare("SELECT entry, previous FROM audit WHERE seq = ?").get(seq);
    const entry = auditEntry.parse(JSON.parse(String(row?.["entry"]).replace("token a", "token b")));
    const hash = hashOf(String(row?.["previous"]), entry);
    database.sql
      .prepare("UPDATE audit SET entry = ?, hash = ? WHERE seq = ?")
      .run(JSON.stringify(entry), hash, seq);
    // The next one does not follow it any more; after the last one stands the head that was kept.
    return Math.min(seq + 1, COUNT);
  },
  "make it illegible": (seq) => {
    database.sql.prepare("UPDATE audit SET entry = '{' WHERE seq = ?").run(seq);
    return seq;
  },
  "change its hash": (seq) => {
    database.sql.prepare("UPDATE audit SET hash = ? WHERE seq = ?").run("0".repeat(64), seq);
    return seq;
  },
  "take it out": (seq) => {
    database.sql.prepare("DELETE FROM audit WHERE seq = ?").run(seq);
    return seq;
  },
  "cut off the end from it": (seq) => {
    database.sql.prepare("DELETE FROM audit WHERE seq >= ?").run(seq);
    return seq;
  },
  "cut off the beginning up to it": (seq) => {
    database.sql.prepare("DELETE FROM audit WHERE seq <= ?").run(seq);
    return 1;
  },
};

test.each(Object.keys(ways))("%s: the log says where it breaks", (way) => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: COUNT }), (seq) => {
      database.sql.exec("DELETE FROM audit");
      rmSync(marksFile(), { force: true });
      const log = filled(COUNT);
      const at = ways[way]?.(seq);
      expect(log.verify()).toMatchObject({ ok: false, broken: { seq: at } });
      // A restarted agent sees it too, and what it appends does not heal it.
      const again = open();
      again.note(done("later"));
      expect(again.verify()).toMatchObject({ ok: false, broken: { seq: at } });
    }),
    { numRuns: 12 },
  );
});

test("a chain made anew is not the one whose head was kept", () => {
  filled(4);
  const kept = open();
  database.sql.exec("DELETE FROM audit");
  const other = new AuditLog(database, join(folder, "other.head"), pino({ level: "silent" }));
  for (let n = 0; n < 4; n += 1) other.note(done("forged"));
  expect(kept.verify()).toMatchObject({ ok: false, broken: { seq: 4 } });
});

test("entries whose head is not kept apart any more are no proof", () => {
  const log = filled(2);
  rmSync(marksFile());
  expect(log.verify().ok).toBe(false);
  writeFileSync(marksFile(), "garbage");
  expect(log.verify().ok).toBe(false);
});

test("an agent that died between an entry and its head is no tampering", () => {
  const log = filled(2);
  const stale = JSON.stringify({ base: { seq: 0, hash: "0".repeat(64) }, head: log.verify().head });
  log.note(done("last"));
  writeFileSync(marksFile(), stale);
  expect(open().verify()).toMatchObject({ ok: true, entries: 3 });
});

test("a flood of refusals becomes a count, and changes are never counted away", () => {
  const log = open();
  for (let n = 0; n < 1000; n += 1) log.note(refusal);
  log.note(done("change"));
  nowMs += WINDOW_MS;
  log.note(done("next"));
  const { items } = log.list(1000, undefined, undefined);
  expect(items.length).toBe(REFUSALS_PER_WINDOW + 3);
  expect(items.slice(0, 3).map(({ what, times }) => [what, times])).toEqual([
    ["next", 1],
    ["refusals", 1000 - REFUSALS_PER_WINDOW],
    ["change", 1],
  ]);
  expect(log.verify().ok).toBe(true);
});

test("the oldest entries go at the limit, and what is left still verifies", () => {
  const log = open({ kept: 10 });
  for (let n = 0; n < 1011; n += 1) log.note(done("change"));
  expect(log.verify()).toMatchObject({ ok: true, entries: 10, from: 1002, head: { seq: 1011 } });
  expect(open({ kept: 10 }).verify().ok).toBe(true);
});

test("what a full disk does not take waits, and is written when there is room", () => {
  const log = filled(1);
  database.sql.exec(
    "CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END",
  );
  log.note(done("waits"));
  expect(() => log.flush()).toThrow("disk is full");
  database.sql.exec("DROP TRIGGER full");
  log.flush();
  expect(log.list(1, undefined, undefined).items[0]?.what).toBe("waits");
  expect(log.verify()).toMatchObject({ ok: true, entries: 2 });
});
