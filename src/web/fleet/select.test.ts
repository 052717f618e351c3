import { describe, expect, test } from "vitest";

import { facts, migrationOf, vm } from "../../../test/fakes/fixtures.ts";
import { hostCards, matching, NO_FILTER, underWay, vmRows, whyNot } from "./select.ts";

const named = (name: string, host = "a", parts = {}) => ({ ...vm(host), name, ...parts });

test("a VM that two hosts have is one row, as its owner tells it", () => {
  const arriving = { ...vm("b"), owner: "a", state: "incoming" as const };
  for (const order of [
    [vm("a"), arriving],
    [arriving, vm("a")],
  ]) {
    expect(vmRows(order).map((one) => one.host)).toEqual(["a"]);
  }
});

test("rows stand in the order people count in", () => {
  const rows = vmRows([named("db-10"), named("db-9"), named("db-1")]);
  expect(rows.map((one) => one.name)).toEqual(["db-1", "db-9", "db-10"]);
});

describe("a search", () => {
  const machine = { ...vm().machine, metadata: { name: "web-1", labels: { tier: "front" } } };
  const rows = [named("db-1"), named("web-1", "b", { machine }), named("web-2", "b", { state: "lost" })];
  const found = (filter: object): string[] =>
    matching(rows, { ...NO_FILTER, ...filter }).map((one) => one.name);
  test("without anything asked shows all", () => expect(found({})).toHaveLength(3));
  test("finds by name, host and label, and by all words at once", () => {
    expect(found({ text: "WEB" })).toEqual(["web-1", "web-2"]);
    expect(found({ text: "tier=front" })).toEqual(["web-1"]);
    expect(found({ text: "web lost" })).toEqual(["web-2"]);
  });
  test("joins host and state", () => {
    expect(found({ host: "b", states: new Set(["running"]) })).toEqual(["web-1"]);
  });
});

test("a host without VMs and a host that cannot be reached are shown too", () => {
  const peers = [{ name: "b", address: "", reachable: false, detail: "no answer" }];
  const cards = hostCards({ facts, peers }, [vm("a"), named("x", "c")]);
  expect(cards.map(({ name, here, reachable, vms }) => [name, here, reachable, vms])).toEqual([
    ["a", true, true, 1],
    ["b", false, false, 0],
    ["c", false, true, 1],
  ]);
});

test("what cannot be started from here says why", () => {
  expect(whyNot(vm("a"), "a")).toBe("");
  expect(whyNot(vm("b"), "a")).toContain("from b");
  expect(whyNot({ ...vm("a"), migration: "m-1" }, "a")).toContain("already");
  expect(whyNot({ ...vm("a"), state: "lost" }, "a")).toContain("lost");
});

test("what needs a person comes first, then the newest", () => {
  const at = (id: string, minute: number, parts = {}) =>
    migrationOf({ id, startedAt: `2026-01-02T03:0${minute}:00.000Z`, ...parts });
  const views = [
    at("old", 1),
    at("stuck", 2, { phase: "needs-person", outcome: "needs-person" }),
    at("new", 4),
    at("over", 5, { phase: "done", outcome: "done" }),
  ];
  expect(underWay(views).map(({ id }) => id)).toEqual(["stuck", "new", "old"]);
});
