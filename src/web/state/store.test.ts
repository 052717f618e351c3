import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { migrationOf, progressOf } from "../../../test/fakes/fixtures.ts";
import { DRAW_INTERVAL_MS, Store } from "./store.ts";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
});
afterEach(() => {
  vi.useRealTimers();
});

test("ten events a second of fifty migrations are drawn twice a second, and none is lost", () => {
  const store = new Store();
  let drawn = 0;
  store.subscribe(() => (drawn += 1));
  for (let turn = 0; turn < 100; turn += 1) {
    for (let id = 0; id < 50; id += 1) {
      const migration = migrationOf({ id: `m-${id}`, progress: progressOf({ elapsedMs: turn * 100 }) });
      store.tell({ type: "event", event: { type: "migration", migration } });
    }
    vi.advanceTimersByTime(100);
  }
  vi.advanceTimersByTime(DRAW_INTERVAL_MS);
  expect(drawn).toBeLessThanOrEqual(2 + 10_000 / DRAW_INTERVAL_MS);
  expect(store.state().migrations.size).toBe(50);
  expect(store.state().trails.get("m-49")?.at(-1)?.elapsedMs).toBe(9_900);
});

test("news after a quiet time is drawn at once", () => {
  const store = new Store();
  let drawn = 0;
  store.subscribe(() => (drawn += 1));
  vi.advanceTimersByTime(10_000);
  store.tell({ type: "connection", connection: { is: "live" } });
  vi.advanceTimersByTime(0);
  expect(drawn).toBe(1);
});
