/** The target's side against a monitor that obeys, refuses or dies: what it may still promise after it has accepted. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { agentConfigIn } from "../../test/fakes/agent-config.ts";
import { machine } from "../../test/fakes/fixtures.ts";
import { type FakeHandler, FakeQmpServer } from "../../test/fakes/qmp-server.ts";
import { migrateSettings } from "../api/migration.ts";
import { nativeWire } from "../api/wire.ts";
import { connectQmp } from "../qmp/client.ts";
import { EventHub } from "./events.ts";
import { Store, type VmRecord } from "./store.ts";
import { TargetRun } from "./target-run.ts";
import type { Vms } from "./vms.ts";

const ID = "db-1-0123abcd";
const done: FakeHandler = () => ({ returns: {} });

let dir: string;
let store: Store;
let monitor: FakeQmpServer;
let vm: VmRecord;
let removed: string[];
let die: () => void;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "target-run-"));
  store = new Store(join(dir, "agent.db"));
  vm = { name: "db-1", machine, accelerator: "tcg", owner: "a", handle: null, migration: ID };
  removed = [];
});
afterEach(async () => {
  await monitor[Symbol.asyncDispose]();
  store.close();
  rmSync(dir, { recursive: true, force: true });
});

/** A target that has loaded everything. */
async function loaded(handlers: Readonly<Record<string, FakeHandler>> = {}): Promise<TargetRun> {
  const commands = [
    "object-del",
    "object-add",
    "migrate-set-parameters",
    "migrate-incoming",
    "announce-self",
  ];
  monitor = await FakeQmpServer.listen(join(dir, "qmp.sock"), {
    handlers: {
      ...Object.fromEntries(commands.map((command) => [command, done])),
      "query-migrate-capabilities": () => ({ returns: [] }),
      "query-migrate": () => ({ returns: { "socket-address": [{ port: "49152" }] } }),
      "query-yank": () => ({ returns: [] }),
      ...handlers,
    },
  });
  const qmp = await connectQmp(join(dir, "qmp.sock"));
  const exited = new Promise<string>((resolve) => (die = () => resolve("signal SIGKILL")));
  const handle = { pid: 0, startTicks: 0, dir, taps: [] };
  const qemu = { handle, qmp, exited, kill: async () => {}, cpuSeconds: () => 0 };
  const vms: Pick<Vms, "record" | "applied" | "remove"> = {
    record: () => vm,
    applied: (record) => void (vm = record),
    remove: async (name) => void removed.push(name),
  };
  const config = agentConfigIn(dir, { name: "b" });
  const log = pino({ level: "silent" });
  const run = new TargetRun(
    { config, store, hub: new EventHub(), vms: vms as Vms, log },
    {
      id: ID,
      side: "target",
      vm: "db-1",
      peer: "a",
      settings: migrateSettings.parse({}),
      startedAt: "2026-01-02T03:04:05.000Z",
      t0Ns: "0",
      bootId: "boot",
      timeline: [],
      state: { phase: "preparing" },
    },
  );
  run.prepare(async () => qemu);
  await run.listen({ path: "direct", native: nativeWire.parse({}) });
  monitor.event("MIGRATION", { status: "completed" });
  await vi.waitUntil(() => run.view().phase === "loaded");
  return run;
}

const asked = (command: string): boolean => monitor.received.some((each) => each.command === command);

describe("a target that has accepted", () => {
  it("owns the guest once it runs", async () => {
    const run = await loaded();
    expect(await run.handOver()).toMatchObject({ phase: "done" });
    expect([vm.owner, removed]).toEqual(["b", []]);
  });

  it("gives the guest back when QEMU refuses to run it, as when a disk is locked", async () => {
    const run = await loaded({ cont: () => ({ refuse: 'Failed to get "write" lock' }) });
    expect(await run.handOver()).toMatchObject({ phase: "void", why: expect.stringContaining("lock") });
    await run.removed;
    expect([vm.owner, vm.migration, removed]).toEqual(["a", null, ["db-1"]]);
  });

  it("gives it back when QEMU died before it had read the command", async () => {
    const run = await loaded();
    monitor.freeze();
    const answer = run.handOver();
    die(); // its end may be known before its monitor's
    monitor.drop();
    expect(await answer).toMatchObject({ phase: "void" });
    expect(vm.owner).toBe("a");
  });

  it("does not when QEMU died with the command in its hands: the guest may have run", async () => {
    const run = await loaded({ cont: () => "silence" });
    const answer = run.handOver();
    await vi.waitUntil(() => asked("cont"));
    monitor.drop();
    die();
    expect(await answer).toMatchObject({ phase: "lost" });
    expect(vm.owner).toBe("b");
  });
});

it.each([
  ["postcopy-paused", true],
  ["postcopy-active", false],
])("a guest told to run, of which nothing is heard, waits for pages: QEMU says %s", async (status, waits) => {
  const answer = { "socket-address": [{ port: "49152" }], status };
  const run = await loaded({ cont: () => "silence", "query-migrate": () => ({ returns: answer }) });
  const handOver = run.handOver();
  await vi.waitUntil(() => asked("cont"));
  expect(run.view().phase).toBe("accepted");
  expect(await run.waitsForPages()).toBe(waits);
  monitor.drop();
  die();
  await handOver;
});

describe("a fetch that nobody will run on", () => {
  it.each(["postcopy-paused", "completed"])("keeps its QEMU until the source has let go: %s", async (end) => {
    const run = await loaded();
    const fetches = (times: number): Promise<boolean> => {
      monitor.event("MIGRATION", { status: "postcopy-active" });
      const seen = () => run.record.timeline.filter(({ what }) => what === "QEMU postcopy-active").length;
      return vi.waitUntil(() => seen() === times);
    };
    await fetches(1);
    expect(run.void("cancelled")).toMatchObject({ phase: "void" });
    await fetches(2);
    expect([removed, run.endingRelay]).toEqual([[], true]);
    monitor.event("MIGRATION", { status: end });
    await run.removed;
    expect(removed).toEqual(["db-1"]);
  });

  it("keeps its QEMU until its last word has been sent, which comes after its completion", async () => {
    let held = [{ type: "migration" }];
    const run = await loaded({ "query-yank": () => ({ returns: held }) });
    run.void("cancelled");
    await vi.waitUntil(() => monitor.received.filter(({ command }) => command === "query-yank").length > 2);
    expect(removed).toEqual([]);
    held = [];
    await run.removed;
    expect(removed).toEqual(["db-1"]);
  });
});
