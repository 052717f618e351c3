/**
 * The migration network is taken away for ten seconds in each phase, and given back: the migration ends done, or
 * ended with the VM running at the source. While memory is fetched there is no way back, so it must continue by itself;
 * also after its connection was not only silent but broken.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import type { FaultDemand } from "../../src/agent/fault.ts";
import type { MigrateRequest, MigrationView } from "../../src/api/migration.ts";
import { Arena, explainSkip, isRoot, until } from "./arena.ts";
import { OneOwnerWatch } from "./one-owner-watch.ts";

explainSkip("link.test.ts");

const CUT_MS = 10_000;
const SETTLE_MS = 90_000;
const LINK_BYTES_PER_SECOND = 1_000_000;
type Settings = Partial<MigrateRequest> & { readonly technique: MigrateRequest["technique"] };

/** One round of seven seconds, then a pause whatever remains. */
const preCopy: Settings = {
  technique: "pre-copy",
  bandwidthBytesPerSecond: 300_000,
  stopRules: { rounds: 1 },
  policy: { initial: [], convergence: [], last: [{ do: "force", downtimeCeilingMs: 60_000 }] },
};
/** Fetched in fourteen seconds, if nothing breaks. */
const postCopy: Settings = { technique: "post-copy", bandwidthBytesPerSecond: 150_000 };

interface Case {
  readonly phase: MigrationView["phase"];
  readonly settings: Settings;
  /** Holds a phase that would be over before the link is down. */
  readonly hold?: (arena: Arena) => FaultDemand;
  readonly mustEnd?: "done";
}
const holdTargetAgent = (at: string) => (arena: Arena) => ({ at, stop: [arena.agentPid("b")] });

const holdTargetQemu = (at: string) => (arena: Arena) => ({ at, stopQemusIn: [arena.vmsDir("b")] });

const cases: readonly Case[] = [
  { phase: "preparing", settings: preCopy, hold: holdTargetAgent("target:preparing") },
  { phase: "copying", settings: preCopy },
  { phase: "switching", settings: preCopy, hold: holdTargetQemu("source:switching") },
  { phase: "handing-over", settings: preCopy, hold: holdTargetAgent("source:handing-over") },
  { phase: "handing-over", settings: postCopy, hold: holdTargetAgent("source:handing-over") },
  { phase: "fetching", settings: postCopy, mustEnd: "done" },
];

describe.runIf(isRoot)("a link that goes away", () => {
  let arena: Arena;
  const table: string[] = [];
  beforeAll(async () => {
    arena = await Arena.up({ linkBytesPerSecond: LINK_BYTES_PER_SECOND });
  });
  afterAll(async () => {
    console.log(table.join("\n"));
    await arena?.down();
  });

  async function scene(each: Case, title: string, act: (id: string) => Promise<void>): Promise<void> {
    const name = await arena.guest("a");
    const watch = new OneOwnerWatch(arena, name);
    try {
      if (each.hold !== undefined) arena.arm([each.hold(arena)]);
      const { id } = await arena.migrate(name, "a", each.settings);
      if (each.hold !== undefined) await until("the phase to be held", SETTLE_MS, () => arena.met());
      await arena.waitPhase(id, each.phase);
      // The phase begins before QEMU is connected.
      if (each.phase === "copying") {
        const sent = async () => ((await arena.view("a", id))?.progress?.sentBytes ?? 0) > 0 || undefined;
        await until("the copy to move", SETTLE_MS, sent);
      }
      await act(id);
      const { source } = await arena.settled(id, "a", SETTLE_MS);
      table.push(`${title}: ${source.outcome} ${source.code ?? ""} ${source.reason}`);
      if (each.mustEnd !== undefined) expect(source).toMatchObject({ outcome: each.mustEnd });
      expect(["done", "failed"]).toContain(source.outcome);
      expect(await arena.ticking(name)).toEqual([source.outcome === "done" ? "b" : "a"]);
    } finally {
      arena.disarm();
      await arena.link("up");
      await arena.wake(name);
      await watch.stop();
      await arena.killQemus(name);
      for (const host of ["a", "b"] as const) await arena.client(host).cleanup();
    }
    expect(watch.fault).toBe("");
  }

  for (const each of cases) {
    const title = `${each.settings.technique}, cut while ${each.phase}`;
    it(title, { timeout: 180_000 }, async () => {
      await scene(each, title, async (id) => {
        await arena.link("down");
        // Held processes go on in a world without a link.
        await arena.wake((await arena.view("a", id))?.vm ?? "");
        await sleep(CUT_MS); // the length of the cut is the test's subject
        await arena.link("up");
      });
    });
  }

  for (const times of [1, 3]) {
    const title = `post-copy, connection broken ${times} time(s) while fetching`;
    it(`${title}: continues by itself`, { timeout: 180_000 }, async () => {
      await scene({ phase: "fetching", settings: postCopy, mustEnd: "done" }, title, async (id) => {
        for (let time = 0; time < times; time += 1) {
          await arena.waitPhase(id, "fetching");
          // It goes on at once: by its journal, since a look might come too late.
          arena.arm([{ at: "source:fetch-paused" }]);
          await arena.breakStream();
          await until("the break to be noticed", SETTLE_MS, () => arena.met());
        }
        await arena.waitPhase(id, "fetching");
      });
    });
  }
});
