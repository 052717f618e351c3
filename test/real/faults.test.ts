/**
 * kill -9 at every journaled step of both sides. Whatever dies: never two guests, never a guest that ran at the
 * target running at the source again, the survivors find out what happened without being told, and say honestly when
 * the VM is lost or a person has to decide. A phase of source.ts or target.ts without a story here fails the first test.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import type { FaultDemand } from "../../src/agent/fault.ts";
import {
  type MigrateRequest,
  type MigrationView,
  PHASES,
  type TechniqueName,
} from "../../src/api/migration.ts";
import { targetView } from "../../src/api/peer-routes.ts";
import type { Source } from "../../src/migration/source-types.ts";
import type { Target } from "../../src/migration/target.ts";
import { Arena, explainSkip, type Host, HOSTS, isRoot, otherHost, until } from "./arena.ts";
import { OneOwnerWatch } from "./one-owner-watch.ts";

explainSkip("faults.test.ts");

const MET_DEADLINE_MS = 30_000;
/** Slow enough that a cut or a cancel finds the migration in the middle: 2 MiB of pages differ from zero. */
const SLOW_BYTES_PER_SECOND = 400_000;

type Settings = Partial<MigrateRequest> & { readonly technique: TechniqueName };

/** How a step is reached. */
interface Story {
  readonly settings: Settings;
  /** Besides the fault itself, later in the list. */
  readonly also?: (arena: Arena) => readonly FaultDemand[];
  readonly drive?: (arena: Arena, id: string) => Promise<void>;
}

const preCopy: Story = { settings: { technique: "pre-copy" } };
const postCopy: Story = { settings: { technique: "post-copy" } };

const cancelledPreCopy: Story = {
  settings: { technique: "pre-copy", bandwidthBytesPerSecond: SLOW_BYTES_PER_SECOND },
  drive: async (arena, id) => {
    await arena.waitPhase(id, "copying");
    await arena.client("a").cancel({ params: { id } });
  },
};

/** The target's QEMU stands still, so that its agent accepts but does not see the guest run for a while. */
const slowToRun = (settings: Settings): Story => ({
  settings,
  also: (arena) => [{ at: "target:accepted", stopQemusIn: [arena.vmsDir("b")] }],
});

const lostAtTarget = (settings: Settings): Story => ({
  settings,
  also: (arena) => [{ at: "target:running", killQemusIn: [arena.vmsDir("b")] }],
});
const slowPostCopy: Settings = { technique: "post-copy", bandwidthBytesPerSecond: SLOW_BYTES_PER_SECOND };
/**
 * QEMU and agent are gone when the run command is due: whether it was sent, and obeyed, nobody can know. The target's
 * agent starts again on the way, so where it is to be killed once more it has been, before.
 */
const lostBeforeAnswer = (settings: Settings): Story => ({
  settings,
  also: (arena) => [{ at: "target:accepted", killQemusIn: [arena.vmsDir("b")], kill: [arena.agentPid("b")] }],
  drive: async (arena) => {
    const killed = await until("the target to be killed", MET_DEADLINE_MS, () => arena.met(1));
    for (const pid of killed) await arena.waitAgentDead("b", pid);
    await arena.startDeadAgents();
  },
});

const brokenFetch: Story = {
  settings: { technique: "post-copy", bandwidthBytesPerSecond: SLOW_BYTES_PER_SECOND / 3 },
  drive: async (arena, id) => {
    await arena.waitPhase(id, "fetching");
    await arena.breakStream();
  },
};

type Stories = Partial<Record<"pre-copy" | "post-copy", Story>>;
const both: Stories = { "pre-copy": preCopy, "post-copy": postCopy };

const sourceSteps: Record<Source["phase"], Stories> = {
  preparing: { "pre-copy": preCopy },
  copying: both,
  switching: { "pre-copy": preCopy },
  "handing-over": both,
  "handed-over": {
    "pre-copy": slowToRun({ technique: "pre-copy" }),
    "post-copy": slowToRun({ technique: "post-copy" }),
  },
  fetching: { "post-copy": postCopy },
  "fetch-paused": { "post-copy": brokenFetch },
  cancelling: { "pre-copy": cancelledPreCopy },
  done: both,
  aborted: { "pre-copy": cancelledPreCopy },
  "needs-person": {
    "pre-copy": lostBeforeAnswer({ technique: "pre-copy" }),
    "post-copy": lostAtTarget(slowPostCopy),
  },
};

const targetSteps: Record<Target["phase"], Stories> = {
  preparing: { "pre-copy": preCopy },
  receiving: both,
  loaded: {
    "pre-copy": preCopy,
    // Held before it asks: a question that comes early takes the target past this step.
    "post-copy": {
      ...postCopy,
      also: (arena) => [{ at: "source:handing-over", stop: [arena.agentPid("a")] }],
    },
  },
  accepted: both,
  running: both,
  done: both,
  void: { "pre-copy": cancelledPreCopy },
  lost: { "pre-copy": lostBeforeAnswer({ technique: "pre-copy" }), "post-copy": lostAtTarget(slowPostCopy) },
};

const VICTIMS = ["source agent", "target agent", "both agents", "source QEMU", "target QEMU"] as const;
type Victim = (typeof VICTIMS)[number];

/** Steps at which the victim does not exist. */
const absent: Partial<Record<Victim, readonly string[]>> = {
  "target QEMU": ["source:preparing", "target:preparing", "source:needs-person", "target:lost"],
};

interface Case {
  readonly step: string;
  readonly technique: "pre-copy" | "post-copy";
  readonly victim: Victim;
  readonly story: Story;
}

const cases: Case[] = [
  ...Object.entries(sourceSteps).map(([phase, stories]) => [`source:${phase}`, stories] as const),
  ...Object.entries(targetSteps).map(([phase, stories]) => [`target:${phase}`, stories] as const),
].flatMap(([step, stories]) =>
  Object.entries(stories).flatMap(([technique, story]) =>
    VICTIMS.filter((victim) => !absent[victim]?.includes(step)).map((victim) => ({
      step,
      technique: technique as Case["technique"],
      victim,
      story,
    })),
  ),
);

const only = process.env["GODWIT_FAULT_CASES"];
const chosen = only === undefined ? cases : cases.filter((each) => titleOf(each).includes(only));
function titleOf({ step, technique, victim }: Case): string {
  return `${technique}: ${victim} killed at ${step}`;
}

const demands: Readonly<Record<Victim, (arena: Arena) => Omit<FaultDemand, "at">>> = {
  "source agent": (arena) => ({ kill: [arena.agentPid("a")] }),
  "target agent": (arena) => ({ kill: [arena.agentPid("b")] }),
  "both agents": (arena) => ({ kill: [arena.agentPid("a"), arena.agentPid("b")] }),
  "source QEMU": (arena) => ({ killQemusIn: [arena.vmsDir("a")] }),
  "target QEMU": (arena) => ({ killQemusIn: [arena.vmsDir("b")] }),
};

describe.runIf(isRoot)("kill -9 at every journaled step", () => {
  let arena: Arena;
  const table: string[] = [];
  beforeAll(async () => {
    arena = await Arena.up();
  });
  afterAll(async () => {
    console.log(table.join("\n"));
    await arena?.down();
  });

  it("has a story for every phase of both sides", () => {
    expect(Object.keys(sourceSteps).sort()).toEqual([...PHASES].sort());
    expect(Object.keys(targetSteps).sort()).toEqual([...targetView.shape.phase.options].sort());
  });

  for (const each of chosen) {
    it(titleOf(each), { timeout: 120_000 }, async () => {
      const { story } = each;
      const name = await arena.guest("a");
      const watch = new OneOwnerWatch(arena, name);
      let good = false;
      try {
        const agents = HOSTS.map((host) => [host, arena.agentPid(host)] as const);
        arena.arm([{ at: each.step, ...demands[each.victim](arena) }, ...(story.also?.(arena) ?? [])]);
        const begun = await arena.migrate(name, "a", story.settings).catch(() => undefined);
        const driven =
          begun === undefined ? undefined : story.drive?.(arena, begun.id).catch((error: unknown) => error);
        const met = await until(`the fault at ${each.step}`, MET_DEADLINE_MS, () => arena.met());
        const killedAgents = agents.filter(([, pid]) => met.includes(pid));
        for (const [host, pid] of killedAgents) await arena.waitAgentDead(host, pid);
        await arena.wake(name);
        await arena.startDeadAgents();
        const id = begun?.id ?? (await arena.idOf(name));
        const settled = await arena.settled(id);
        await driven;
        watch.look();
        expect(watch.fault).toBe("");
        await judge(arena, each, name, settled, killedAgents.length === 0 && met.length > 0, watch);
        table.push(
          `${titleOf(each).padEnd(56)} ${met.length === 0 ? "(it had ended) " : ""}${settled.source.outcome} ${settled.source.code ?? ""} ${settled.source.reason}`,
        );
        await clear(arena, name);
        good = true;
      } finally {
        arena.disarm();
        await watch.stop();
        await arena.wake(name);
        await arena.startDeadAgents();
        if (!good) await arena.killQemus(name);
      }
    });
  }

  it("goes on when the command that asked for it is killed", { timeout: 120_000 }, async () => {
    for (const phase of ["preparing", "copying", "switching", "handing-over"] as const) {
      const name = await arena.guest("a");
      const watch = new OneOwnerWatch(arena, name);
      const cli = arena.cli("migrate", name, "--to", "b", "--wire", "direct");
      try {
        // The command is killed by the agent itself, at that step.
        arena.arm([{ at: `source:${phase}`, kill: [cli.pid ?? 0] }]);
        await until(`the fault at ${phase}`, MET_DEADLINE_MS, () => arena.met());
        const settled = await arena.settled(await arena.idOf(name));
        expect(settled.source.outcome).toBe("done");
        expect(await arena.ticking(name)).toEqual(["b"]);
      } finally {
        cli.kill("SIGKILL");
        arena.disarm();
        await watch.stop();
      }
      expect(watch.fault).toBe("");
      await clear(arena, name);
    }
  });
});

/** At these the target's QEMU has not read the command to run yet. */
const UNREAD: ReadonlySet<string> = new Set(["target:accepted", "source:handed-over"]);

/** What must hold after any kill. */
async function judge(
  arena: Arena,
  { victim, step }: Case,
  name: string,
  { source, target }: { source: MigrationView; target: MigrationView | undefined },
  qemuKilled: boolean,
  watch: OneOwnerWatch,
): Promise<void> {
  const ticking = await arena.ticking(name);
  const told = `${source.outcome} ${source.code} (${source.reason}); target ${target?.phase}; ticks on ${ticking.join("+") || "none"}`;
  expect(ticking.length, told).toBeLessThanOrEqual(1);
  const lists = await Promise.all(HOSTS.map((host) => arena.vms(host)));
  const owners = lists.flat().filter((vm) => vm.name === name && vm.owner === vm.host);
  expect(owners.length, told).toBeLessThanOrEqual(1);

  switch (source.outcome) {
    case "done":
      // The hand-over is over; only the death of the VM's own QEMU ends the VM.
      if (qemuKilled && victim === "target QEMU") expect(ticking, told).toEqual([]);
      else await survives(arena, name, "b", watch);
      return;
    case "failed":
    case "cancelled":
      // The guest may have run at the target, which is why a person was asked; now the copy here is gone as well.
      if (step === "source:needs-person" && victim === "source QEMU")
        return expect(ticking, told).toEqual([]);
      expect(watch.target, told).toBe("");
      if (qemuKilled && victim === "source QEMU") {
        expect(ticking, told).toEqual([]);
        expect(["VM_LOST", "CANCELLED"], told).toContain(source.code);
      } else await survives(arena, name, "a", watch);
      return;
    case "needs-person":
      // It is gone with the command to run unread: nobody has to be asked, but where QEMU 7.2 has no way out.
      if (victim === "target QEMU" && UNREAD.has(step)) {
        expect(target?.phase, told).toBe("aborted");
        expect(source.technique, told).toBe("post-copy");
      }
      await decide(arena, name, source, told);
      return;
    default:
      throw new Error(told);
  }
}

/** It ticks on this host, its memory is whole, and it moves on with every byte compared. */
async function survives(arena: Arena, name: string, host: Host, watch: OneOwnerWatch): Promise<void> {
  expect(await arena.ticking(name)).toEqual([host]);
  const vm = (await arena.vms(host)).find((each) => each.name === name);
  expect(vm).toMatchObject({ owner: host, migration: null, state: "running" });
  watch.look();
  if (watch.target !== "") expect(alphabetic(watch.source + watch.target.slice(0, 20))).toBe(true);
  await watch.stop();
  const again = await arena.migrate(name, host, { technique: "pre-copy", verifyMemory: true });
  const settled = await arena.settled(again.id, host);
  expect(settled.source, settled.source.reason).toMatchObject({ outcome: "done" });
  const report = await arena.client(host).report({ params: { id: again.id } });
  expect(report.correctness.verdict).toBe("verified");
  expect(await arena.ticking(name)).toEqual([otherHost(host)]);
}

/** The guest says the alphabet, round and round, wherever it is: a letter missing or said twice is a lost or old state. */
function alphabetic(text: string): boolean {
  return Array.from(text).every(
    (letter, at) => at === 0 || (letter.charCodeAt(0) - text.charCodeAt(at - 1) + 26) % 26 === 1,
  );
}

/** A person was asked for: the reason says why, and what the product offers then works. */
async function decide(arena: Arena, name: string, source: MigrationView, told: string): Promise<void> {
  expect(source.reason, told).not.toBe("");
  // QEMU 7.2 has no way out of a post-copy whose target died before it accepted; what is left is to give the VM up.
  const there = (await arena.qemus(name)).map(({ host }) => host);
  if (!there.includes("a") || source.technique === "post-copy") return;
  await arena.client("a").recover({ params: { id: source.id } });
  const after = await until("the VM to be taken back", 20_000, async () => {
    const view = await arena.view("a", source.id);
    return view?.phase === "aborted" && view.outcome !== undefined ? view : undefined;
  });
  expect(after).toMatchObject({ outcome: "failed", code: "TAKEN_BACK" });
  expect(await arena.ticking(name)).toEqual(["a"]);
}

/** Clean-up twice leaves nothing but live VMs; these can be stopped, whatever happened; then nothing is left. */
async function clear(arena: Arena, name: string): Promise<void> {
  for (const host of HOSTS) await arena.client(host).cleanup();
  for (const host of HOSTS) expect((await arena.client(host).cleanup()).removed).toEqual([]);
  const live = await arena.qemus(name);
  for (const host of HOSTS) {
    const known = (await arena.vms(host)).filter((vm) => vm.name === name);
    expect(
      known.map((vm) => vm.pid),
      `${host} after cleanup`,
    ).toEqual(live.filter((qemu) => qemu.host === host).map((qemu) => qemu.pid));
    // A broken fetch is noticed by the target's QEMU a moment after the source knows.
    const stop = () =>
      arena
        .client(host)
        .stop({ params: { name } })
        .catch(() => undefined);
    if (known.length > 0) await until(`${name} to be stopped on ${host}`, 20_000, stop);
  }
  expect(await arena.leftovers(name)).toEqual([]);
}
