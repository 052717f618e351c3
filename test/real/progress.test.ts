/** What people are shown of a copy is not taken back, also when the agent that showed it is killed. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import type { Progress } from "../../src/api/migration.ts";
import { Arena, explainSkip, isRoot, until } from "./arena.ts";

explainSkip("progress.test.ts");

const DEADLINE_MS = 30_000;
/** A round lasts 20 s, and the ticker dirties all of it meanwhile: the copy does not end. */
const SLOW_BYTES_PER_SECOND = 100_000;

describe.runIf(isRoot)("what is shown of a migration", () => {
  let arena: Arena;
  beforeAll(async () => {
    arena = await Arena.up();
  });
  afterAll(async () => arena?.down());

  it("has a range and a reason, and goes on where a killed agent left it", { timeout: 120_000 }, async () => {
    const name = await arena.guest("a");
    const { id } = await arena.migrate(name, "a", {
      technique: "pre-copy",
      bandwidthBytesPerSecond: SLOW_BYTES_PER_SECOND,
    });
    const shown = (what: string, fits: (progress: Progress) => boolean): Promise<Progress> =>
      until(what, DEADLINE_MS, async () => {
        const progress = (await arena.view("a", id))?.progress;
        return progress !== undefined && fits(progress) ? progress : undefined;
      });
    const before = await shown("a fifth to be shown", ({ fraction }) => fraction > 0.2);
    expect(before.limit).toContain("the bandwidth cap allows");
    expect(before.eta?.lowMs).toBeLessThan(before.eta?.ms ?? 0);
    expect(before.eta?.highMs).toBeGreaterThan(before.eta?.ms ?? 0);

    await arena.killAgent("a");
    await arena.startDeadAgents();
    const first = await shown("anything to be shown again", () => true);
    expect(first.fraction).toBeGreaterThanOrEqual(before.fraction);
    const next = await shown("a reading", ({ sentBytes }) => sentBytes > 0);
    expect(next.fraction).toBeGreaterThanOrEqual(first.fraction);

    await arena.client("a").cancel({ params: { id } });
    expect((await arena.settled(id)).source.outcome).toBe("cancelled");
    expect(await arena.ticking(name)).toEqual(["a"]);
    await arena.client("a").stop({ params: { name } });
  });
});
