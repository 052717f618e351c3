import { expect, test } from "vitest";

import { migrationOf } from "../../test/fakes/fixtures.ts";
import type { MigrationView } from "../api/migration.ts";
import { endingKey } from "./metrics.ts";
import { ENDED_KEPT_MS, ENDED_MAX, type Kept, keptAfter, keptAtStart, withoutOld } from "./metrics-kept.ts";

const none = keptAtStart([], []);
const after = (kept: Kept, parts: Partial<MigrationView>, nowMs = 0): Kept =>
  keptAfter(kept, { type: "migration", migration: migrationOf(parts) }, nowMs);
const done = { phase: "done", outcome: "done" } as const;
const waiting = { phase: "needs-person", outcome: "needs-person" } as const;
const shownAt = (kept: Kept, nowMs: number): string[] => [...withoutOld(kept.migrations, nowMs).keys()];

test("an ended migration stays for late scrapes and is then dropped", () => {
  const kept = after(after(none, {}), done, 1000);
  expect(shownAt(kept, 1000 + ENDED_KEPT_MS)).toEqual(["m-1"]);
  expect(shownAt(kept, 1001 + ENDED_KEPT_MS)).toEqual([]);
});

test("of many that ended the newest are shown, and each that still runs", () => {
  let kept = after(none, { id: "runs" });
  for (let i = 0; i < ENDED_MAX + 3; i += 1) kept = after(kept, { id: `m-${i}`, ...done }, i);
  const shown = shownAt(kept, ENDED_MAX);
  expect(shown).toHaveLength(ENDED_MAX + 1);
  expect(shown).toContain("runs");
  expect(shown).toContain(`m-${ENDED_MAX + 2}`);
  expect(shown).not.toContain("m-2");
});

test("each ending is counted once, by the source alone", () => {
  const key = endingKey("done", "pre-copy", "direct");
  let kept = after(after(none, {}), done);
  kept = after(kept, done, 5);
  expect(kept.ended.get(key)).toBe(1);
  kept = after(kept, { id: "m-2", side: "target", ...done });
  expect([...kept.ended.values()]).toEqual([1]);
  kept = after(kept, { id: "m-3", path: "relay", ...done });
  expect(kept.ended.get(endingKey("done", "pre-copy", "relay"))).toBe(1);
});

test("a migration that waits for a person stays until its VM is given up", () => {
  const kept = after(none, waiting, 0);
  expect(shownAt(kept, 10 * ENDED_KEPT_MS)).toEqual(["m-1"]);
  const given = keptAfter(kept, { type: "vm-gone", name: "db-1" }, 500);
  expect(shownAt(given, 500 + ENDED_KEPT_MS)).toEqual(["m-1"]);
  expect(shownAt(given, 501 + ENDED_KEPT_MS)).toEqual([]);
});

test("another VM's end gives nothing up", () => {
  const kept = keptAfter(after(none, waiting), { type: "vm-gone", name: "other" }, 500);
  expect(shownAt(kept, 10 * ENDED_KEPT_MS)).toEqual(["m-1"]);
});

test("a restart knows what waits already, and does not count it again", () => {
  const view = migrationOf(waiting);
  const kept = keptAtStart([view, migrationOf({ id: "old", ...done })], [{ migration: "m-1" }]);
  expect(shownAt(kept, 0)).toEqual(["m-1"]);
  expect(after(kept, waiting).ended.size).toBe(0);
  expect(keptAtStart([view], []).migrations.size).toBe(0);
});
