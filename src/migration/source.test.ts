import { describe, expect, test } from "vitest";

import { migrateSettings } from "../api/migration.ts";
import { step } from "./source.ts";
import type { Source } from "./source-types.ts";
import { techniques } from "./techniques/index.ts";

const job = {
  settings: migrateSettings.parse({ technique: "post-copy" }),
  technique: techniques["post-copy"],
};
const after = (state: Source, ...[event]: [Parameters<typeof step>[1]]) => step(state, event, job);

describe("a target that needs nothing of the source any more", () => {
  const waiting: readonly Source[] = [
    {
      phase: "handing-over",
      way: "fetch",
      doubt: "arrived",
      sourceLost: false,
      undelivered: 0,
      cancelAsked: false,
      fetchBroken: true,
    },
    { phase: "handed-over", way: "fetch", sourceLost: false, fetchBroken: true, fetched: false },
    { phase: "fetching" },
    { phase: "fetch-paused", why: "it broke", attempts: 3 },
    { phase: "needs-person", reason: "tries failed", canTakeBack: false },
  ];
  for (const state of waiting) {
    test(`ends the migration out of ${state.phase}, however its connection fared`, () => {
      expect(after(state, { type: "target-done" })).toEqual({
        state: { phase: "done" },
        effects: [{ do: "release-source" }],
      });
    });
  }

  test("is not believed before anything was offered", () => {
    const state: Source = { phase: "switching", pauseAsked: false, fetchAsked: true };
    expect(after(state, { type: "target-done" }).state).toEqual(state);
  });
});

describe("a target that lost the VM while its memory was fetched", () => {
  test("ends the tries to continue at once: a person is told", () => {
    const { state, effects } = after(
      { phase: "fetch-paused", why: "it broke", attempts: 1 },
      { type: "target-lost", why: "its QEMU was killed" },
    );
    expect(state).toMatchObject({ phase: "needs-person", canTakeBack: false });
    expect(effects).toEqual([]);
  });
});
