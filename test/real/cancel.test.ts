/**
 * A cancel in every phase of every technique ends in one known state: before hand-over the VM runs at the source, after
 * it the cancel is refused and the VM ends at the target. A phase too short to hit is held open by stopping a process.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import type { FaultDemand } from "../../src/agent/fault.ts";
import type { MigrateRequest, MigrationView } from "../../src/api/migration.ts";
import { ExitCode } from "../../src/std/errors.ts";
import { Arena, explainSkip, isRoot, until } from "./arena.ts";
import { OneOwnerWatch } from "./one-owner-watch.ts";

explainSkip("cancel.test.ts");

const SLOW_BYTES_PER_SECOND = 400_000;
const DEADLINE_MS = 30_000;
/** What is promised; some ten milliseconds are usual. */
const CANCEL_MS = 2_000;
type Settings = Partial<MigrateRequest> & { readonly technique: MigrateRequest["technique"] };
const slow = (technique: Settings["technique"]): Settings => ({
  technique,
  bandwidthBytesPerSecond: SLOW_BYTES_PER_SECOND,
});

interface Case {
  readonly phase: MigrationView["phase"];
  readonly settings: Settings;
  readonly hold?: (arena: Arena) => FaultDemand;
  /** What brings it into a phase that has no step to be held at. */
  readonly lead?: (arena: Arena, name: string, id: string) => Promise<void>;
}
const holdTargetAgent = (at: string) => (arena: Arena) => ({ at, stop: [arena.agentPid("b")] });
const holdTargetQemu = (at: string) => (arena: Arena) => ({ at, stopQemusIn: [arena.vmsDir("b")] });

/** It copies round after round until its time is over, then pauses whatever is left. */
const switchesInTheEnd: Settings = {
  technique: "pre-copy",
  bandwidthBytesPerSecond: 5 * SLOW_BYTES_PER_SECOND,
  maxDowntimeMs: 1,
  timeoutMs: 6_000,
  policy: { initial: [], convergence: [], last: [{ do: "force", downtimeCeilingMs: 2_000_000 }] },
};
/** What the pause leaves to be sent then waits for a QEMU that stands still, however short it would have taken. */
async function stopTargetQemuAfterRounds(arena: Arena, name: string, id: string): Promise<void> {
  await until("some rounds to have passed", DEADLINE_MS, async () => {
    const view = await arena.view("a", id);
    return (view?.progress?.round ?? 0) > 2 ? true : undefined;
  });
  for (const { host, pid } of await arena.qemus(name)) if (host === "b") process.kill(pid, "SIGSTOP");
}

const before: readonly Case[] = [
  ...(["stop-and-copy", "pre-copy", "post-copy", "hybrid"] as const).map((technique) => ({
    phase: "preparing" as const,
    settings: { technique },
    hold: holdTargetAgent("target:preparing"),
  })),
  { phase: "copying", settings: slow("stop-and-copy") },
  { phase: "copying", settings: slow("pre-copy") },
  { phase: "copying", settings: slow("hybrid") },
  { phase: "copying", settings: { technique: "post-copy" }, hold: holdTargetQemu("source:copying") },
  { phase: "switching", settings: switchesInTheEnd, lead: stopTargetQemuAfterRounds },
];

const after: readonly Case[] = [
  { phase: "fetching", settings: slow("post-copy") },
  {
    phase: "handed-over",
    settings: { technique: "pre-copy" },
    hold: holdTargetQemu("target:accepted"),
  },
];

describe.runIf(isRoot)("cancel", () => {
  let arena: Arena;
  const table: string[] = [];
  beforeAll(async () => {
    arena = await Arena.up();
  });
  afterAll(async () => {
    console.log(table.join("\n"));
    await arena?.down();
  });

  async function scene(each: Case, act: (name: string, id: string) => Promise<void>): Promise<void> {
    const name = await arena.guest("a");
    const watch = new OneOwnerWatch(arena, name);
    try {
      if (each.hold !== undefined) arena.arm([each.hold(arena)]);
      const { id } = await arena.migrate(name, "a", each.settings);
      if (each.hold !== undefined) await until("the phase to be held", DEADLINE_MS, () => arena.met());
      await each.lead?.(arena, name, id);
      await arena.waitPhase(id, each.phase);
      await act(name, id);
    } finally {
      arena.disarm();
      await arena.wake(name);
      await watch.stop();
      await arena.killQemus(name);
      for (const host of ["a", "b"] as const) await arena.client(host).cleanup();
    }
    expect(watch.fault).toBe("");
  }

  for (const each of before) {
    const title = `${each.settings.technique}, ${each.phase}`;
    it(`while ${title}: the VM runs at the source`, { timeout: 90_000 }, async () => {
      await scene(each, async (name, id) => {
        const t0 = performance.now();
        await arena.client("a").cancel({ params: { id } });
        await until("the guest to run", DEADLINE_MS, async () => {
          const vm = (await arena.vms("a")).find((one) => one.name === name);
          return vm?.state === "running" && vm.migration === null ? true : undefined;
        });
        const tookMs = performance.now() - t0;
        table.push(`${title}: ${Math.round(tookMs)} ms`);
        expect(tookMs).toBeLessThan(CANCEL_MS);
        await arena.wake(name);
        const { source, target } = await arena.settled(id);
        expect(source).toMatchObject({ outcome: "cancelled", code: "CANCELLED", phase: "aborted" });
        expect(target?.phase ?? "aborted").toBe("aborted");
        expect(await arena.ticking(name)).toEqual(["a"]);
        // Its QEMU ends right after the target's word.
        const left = async () => (await arena.vms("b")).filter((vm) => vm.name === name);
        await expect.poll(left, { timeout: DEADLINE_MS }).toEqual([]);
      });
    });
  }

  it("while handing over: ends at one of the two hosts, and says at which", { timeout: 90_000 }, async () => {
    for (const technique of ["pre-copy", "post-copy"] as const) {
      const hold = holdTargetAgent("source:handing-over");
      await scene({ phase: "handing-over", settings: { technique }, hold }, async (name, id) => {
        await arena.client("a").cancel({ params: { id } });
        await arena.wake(name);
        const { source } = await arena.settled(id);
        expect(["done", "cancelled"]).toContain(source.outcome);
        expect(await arena.ticking(name)).toEqual([source.outcome === "done" ? "b" : "a"]);
        table.push(`${technique}, handing-over: ${source.outcome}`);
      });
    }
  });

  for (const each of after) {
    const title = `${each.settings.technique}, ${each.phase}`;
    it(
      `while ${title}: is refused as too late, and the VM ends at the target`,
      { timeout: 90_000 },
      async () => {
        await scene(each, async (name, id) => {
          await expect(arena.client("a").cancel({ params: { id } })).rejects.toMatchObject({
            code: "TOO_LATE",
          });
          await arena.wake(name);
          expect((await arena.settled(id)).source.outcome).toBe("done");
          expect(await arena.ticking(name)).toEqual(["b"]);
        });
      },
    );
  }

  it("by Ctrl-C at the prompt: exit code 4, and the VM runs at the source", { timeout: 60_000 }, async () => {
    const name = await arena.guest("a");
    const cli = arena.cli("migrate", name, "--to", "b", "--bandwidth", "400kB/s", "--wire", "direct");
    const ended = new Promise<number | null>((done) => cli.once("exit", done));
    const id = await arena.idOf(name);
    await arena.waitPhase(id, "copying");
    cli.kill("SIGINT");
    expect(await ended, cli.said()).toBe(ExitCode.cancelled);
    expect((await arena.settled(id)).source.outcome).toBe("cancelled");
    expect(await arena.ticking(name)).toEqual(["a"]);
    await arena.client("a").stop({ params: { name } });
  });

  it(
    "by Ctrl-C twice: the command leaves with 130, the agents finish the cancel",
    { timeout: 60_000 },
    async () => {
      const name = await arena.guest("a");
      try {
        const cli = arena.cli("migrate", name, "--to", "b", "--bandwidth", "400kB/s", "--wire", "direct");
        const ended = new Promise<number | null>((done) => cli.once("exit", done));
        const id = await arena.idOf(name);
        await arena.waitPhase(id, "copying");
        // A cancel cannot finish while QEMU stands still.
        for (const { pid } of await arena.qemus(name)) process.kill(pid, "SIGSTOP");
        cli.kill("SIGINT");
        await until(
          "the first Ctrl-C to be heard",
          DEADLINE_MS,
          () => cli.said().includes("Cancelling") || undefined,
        );
        cli.kill("SIGINT");
        expect(await ended, cli.said()).toBe(ExitCode.interrupted);
        await arena.wake(name);
        expect((await arena.settled(id)).source.outcome).toBe("cancelled");
        expect(await arena.ticking(name)).toEqual(["a"]);
      } finally {
        await arena.wake(name);
      }
    },
  );
});
