import { describe, expect, test } from "vitest";

import { migrateSettings, TECHNIQUES } from "../../api/migration.ts";
import { FIRST_PAUSE_MS, FIRST_RELAYED_PAUSE_MS, HAND_OVER_MS } from "../pause.ts";
import { capabilitiesNeeded, techniques } from "./index.ts";

describe("the table of techniques", () => {
  test("names each technique by its own name", () => {
    for (const name of TECHNIQUES) expect(techniques[name].name).toBe(name);
  });

  test("only stop-and-copy pauses first, only post-copy fetches at once", () => {
    const openings = TECHNIQUES.map((technique) =>
      techniques[technique].opening(migrateSettings.parse({ technique })),
    );
    expect(openings.map((opening) => opening.pauseFirst)).toEqual([true, false, false, false]);
    expect(openings.map((opening) => opening.fetchAtOnce)).toEqual([false, false, true, false]);
  });

  test("copying begins with a short pause allowed, never more than was asked for less the hand-over, never below 1 ms", () => {
    const opened = (maxDowntimeMs: number, path?: "relay"): number =>
      techniques["pre-copy"].opening(migrateSettings.parse({ maxDowntimeMs }), path).downtimeLimitMs;
    expect(opened(300)).toBe(FIRST_PAUSE_MS);
    expect(opened(60)).toBe(60 - HAND_OVER_MS);
    expect(opened(10)).toBe(1);
    expect(opened(300, "relay")).toBe(FIRST_RELAYED_PAUSE_MS);
    expect(opened(52, "relay")).toBe(2);
  });

  test("a policy that may fetch needs hosts that can", () => {
    const last = [{ do: "post-copy" as const }];
    expect(capabilitiesNeeded(migrateSettings.parse({}))).not.toContain("post-copy");
    expect(capabilitiesNeeded(migrateSettings.parse({ policy: { last } }))).toContain("post-copy");
    expect(
      capabilitiesNeeded(migrateSettings.parse({ technique: "stop-and-copy", policy: { last } })),
    ).toEqual(["pause"]);
  });
});
