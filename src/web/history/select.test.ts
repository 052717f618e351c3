import { expect, test } from "vitest";

import { migrationOf } from "../../../test/fakes/fixtures.ts";
import { merged, NO_HISTORY_FILTER, pastMatching } from "./select.ts";

const NOW = Date.parse("2026-01-03T00:00:00Z");
const past = (id: string, parts: Parameters<typeof migrationOf>[0] = {}) =>
  migrationOf({ id, phase: "done", outcome: "done", ...parts });
const views = [
  past("m-1"),
  past("m-2", { vm: "web-1", technique: "hybrid", phase: "aborted", outcome: "failed", code: "LINK_LOST" }),
  past("m-3", { startedAt: "2025-12-01T00:00:00.000Z" }),
  migrationOf({ id: "m-4" }),
];
const found = (filter: object): string[] =>
  pastMatching(views, { ...NO_HISTORY_FILTER, ...filter }, NOW).map((view) => view.id);

test("filters join: words, outcome, technique, time", () => {
  expect(found({})).toHaveLength(4);
  expect(found({ text: "link_lost" })).toEqual(["m-2"]);
  expect(found({ outcome: "done" })).toEqual(["m-1", "m-3"]);
  expect(found({ outcome: "active" })).toEqual(["m-4"]);
  expect(found({ technique: "hybrid", text: "db" })).toEqual([]);
  expect(found({ since: "day" })).toEqual(["m-1", "m-2", "m-4"]);
});

test("a migration that ends while the page is open is shown once, as it is now", () => {
  const ended = past("m-4", { startedAt: "2026-01-02T04:00:00.000Z" });
  const fresh = migrationOf({ id: "m-5", startedAt: "2026-01-02T05:00:00.000Z" });
  const all = merged(
    views,
    new Map([
      ["m-4", ended],
      ["m-5", fresh],
    ]),
  );
  expect(all.map((view) => view.id)).toEqual(["m-5", "m-4", "m-1", "m-2", "m-3"]);
  expect(all[1]?.outcome).toBe("done");
});
