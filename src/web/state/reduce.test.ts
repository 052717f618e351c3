import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { facts, migrationOf, progressOf, vm } from "../../../test/fakes/fixtures.ts";
import { reduce, TRAILS_MAX, type News } from "./reduce.ts";
import { EMPTY, type State } from "./state.ts";

const heard = (migration: ReturnType<typeof migrationOf>): News => ({
  type: "event",
  event: { type: "migration", migration },
});
const after = (...news: readonly News[]): State => reduce(EMPTY, news);

test("a percentage never runs backwards, whatever the agents say", () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1 }), (fractions) => {
      let state = EMPTY;
      let shown = 0;
      for (const [n, fraction] of fractions.entries()) {
        state = reduce(state, [
          heard(migrationOf({ progress: progressOf({ fraction, elapsedMs: n * 250 }) })),
        ]);
        const now = state.migrations.get("m-1")?.progress?.fraction ?? -1;
        expect(now).toBeGreaterThanOrEqual(shown);
        shown = now;
      }
    }),
  );
});

test("an ended migration is not brought back by news that was late", () => {
  const state = after(heard(migrationOf({ phase: "done", outcome: "done" })), heard(migrationOf()));
  expect(state.migrations.get("m-1")?.outcome).toBe("done");
});

test("one that waits for a person goes on when that person has decided", () => {
  const waits = heard(migrationOf({ phase: "needs-person", outcome: "needs-person" }));
  expect(after(waits, heard(migrationOf({ phase: "fetching" }))).migrations.get("m-1")).toMatchObject({
    phase: "fetching",
  });
  expect(
    after(waits, heard(migrationOf({ phase: "fetching" }))).migrations.get("m-1")?.outcome,
  ).toBeUndefined();
});

test("the last progress stays when the last view brings none", () => {
  const { progress: _, ...bare } = migrationOf({ phase: "done", outcome: "done" });
  const state = after(heard(migrationOf()), heard(bare));
  expect(state.migrations.get("m-1")?.progress).toMatchObject({ phase: "done", fraction: 0.48 });
});

describe("VMs", () => {
  test("one VM on two hosts is two entries, and one that leaves this host leaves only this host", () => {
    const state = after(
      { type: "host", host: { facts, peers: [] } },
      { type: "vms", vms: [vm("a"), vm("b")] },
      { type: "event", event: { type: "vm-gone", name: "db-1" } },
    );
    expect([...state.vms.keys()]).toEqual(["b/db-1"]);
  });
  test("a list read anew replaces what was known", () => {
    const state = after({ type: "vms", vms: [vm("a")] }, { type: "vms", vms: [vm("b")] });
    expect([...state.vms.keys()]).toEqual(["b/db-1"]);
  });
});

test("what a client waits is kept for each migration, and the newest of it holds all before", () => {
  const told = (migration: string, ...longest_ms: number[]): News => ({
    type: "event",
    event: { type: "latency", migration, latency: { slice_ms: 10, longest_ms } },
  });
  const state = after(told("m-1", 1), told("m-2", 7), told("m-1", 1, 2));
  expect(state.latencies.get("m-1")?.longest_ms).toEqual([1, 2]);
  expect(state.latencies.get("m-2")?.longest_ms).toEqual([7]);
});

test("trails of ended migrations are dropped first, those of running ones never", () => {
  const news = Array.from({ length: TRAILS_MAX * 2 }, (_, n) =>
    heard(migrationOf({ id: `m-${n}`, ...(n === 0 ? {} : { phase: "done", outcome: "done" }) })),
  );
  const state = after(...news);
  expect(state.trails.size).toBe(TRAILS_MAX);
  expect(state.trails.has("m-0")).toBe(true);
});
