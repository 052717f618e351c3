/** The moves of QEMU that the agent builds on, between two real ones over TLS, the target never running by itself. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";

import { initCa, issueHost } from "../../src/agent/pki.ts";
import { machineSpec } from "../../src/api/machine.ts";
import { TLS_CREDS_ID } from "../../src/qemu/args.ts";
import { startQemu } from "../../src/qemu/process.ts";
import { reclaimSource } from "../../src/qemu/reclaim.ts";
import type { QemuProcess } from "../../src/qemu/types.ts";
import type { MigrationInfo } from "../../src/qmp/commands.ts";
import type { EventStream } from "../../src/qmp/types.ts";

const DEADLINE_MS = 20_000;
/** Slow enough that a post-copy is still fetching when the test acts: QEMU sends at least one 100 ms window's worth. */
const SLOW = { "max-bandwidth": 100_000, "max-postcopy-bandwidth": 50_000 };

let dir: string;
let vms: QemuProcess[] = [];
let count = 0;
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "mig-"));
  for (const ca of ["ca", "other"]) await initCa(join(dir, ca));
  for (const name of ["a", "b"]) {
    await issueHost({ caDir: join(dir, "ca"), name, addresses: ["127.0.0.1"], outDir: join(dir, name) });
  }
  await issueHost({ caDir: join(dir, "other"), name: "a", addresses: [], outDir: join(dir, "stranger") });
  writeFileSync(join(dir, "disk.raw"), Buffer.alloc(1 << 20));
});
afterEach(async () => {
  for (const vm of vms) await vm.kill();
  vms = [];
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

interface Pair {
  readonly source: QemuProcess;
  readonly target: QemuProcess;
}

async function pair(capabilities: readonly string[] = [], sourcePki = "a"): Promise<Pair> {
  const machine = machineSpec.parse({
    apiVersion: "godwit/v1",
    kind: "Machine",
    metadata: { name: "moving" },
    // One writable shared disk and one NIC, so that locks and devices are part of every move.
    spec: {
      memory: "64MiB",
      disks: [{ path: join(dir, "disk.raw"), shared: true }],
      nics: [{ bridge: "user", mac: "52:54:00:00:00:01" }],
    },
  });
  count += 1;
  const common = {
    binary: "qemu-system-x86_64",
    machine,
    accelerator: "tcg",
    forwardAddress: "127.0.0.1",
  } as const;
  const source = await startQemu({
    ...common,
    dir: join(dir, `s${count}`),
    incoming: false,
    tls: { dir: join(dir, sourcePki), endpoint: "client" },
  });
  vms.push(source);
  const target = await startQemu({
    ...common,
    dir: join(dir, `t${count}`),
    incoming: true,
    tls: { dir: join(dir, "b"), endpoint: "server" },
  });
  vms.push(target);
  await enable(source, ["events", "return-path", ...capabilities]);
  await enable(target, ["events", "late-block-activate", ...capabilities]);
  await source.qmp.execute("migrate-set-parameters", { "tls-creds": TLS_CREDS_ID, "tls-hostname": "b" });
  await target.qmp.execute("migrate-set-parameters", { "tls-creds": TLS_CREDS_ID });
  return { source, target };
}

const enable = (vm: QemuProcess, names: readonly string[]): Promise<unknown> =>
  vm.qmp.execute("migrate-set-capabilities", {
    capabilities: names.map((capability) => ({ capability, state: true })),
  });
const status = async (vm: QemuProcess): Promise<MigrationInfo["status"]> =>
  (await vm.qmp.execute("query-migrate", {})).status;
const runState = async (vm: QemuProcess): Promise<string> =>
  (await vm.qmp.execute("query-status", {})).status;

async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + DEADLINE_MS;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`waited in vain: ${what}`);
    await delay(5);
  }
}

async function migrate({ source, target }: Pair): Promise<void> {
  await target.qmp.execute("migrate-incoming", { uri: "tcp:127.0.0.1:49152,to=49215" });
  await source.qmp.execute("migrate", { uri: await listening(target) });
}

async function listening(target: QemuProcess): Promise<string> {
  const address = (await target.qmp.execute("query-migrate", {}))["socket-address"]?.[0];
  return `tcp:127.0.0.1:${address?.port}`;
}

/** Out of band, so the port is ours to choose: what `to=` picked could not be asked for. */
async function listenAgain(target: QemuProcess): Promise<string> {
  for (let port = 49_152; port <= 49_215; port += 1) {
    const uri = `tcp:127.0.0.1:${port}`;
    try {
      await target.qmp.execute("migrate-recover", { uri }, { outOfBand: true });
      return uri;
    } catch (error) {
      expect(error).toMatchObject({ details: { desc: expect.stringContaining("Address already in use") } });
    }
  }
  throw new Error("no free port");
}

/** Until post-copy has delivered the device state: the target could run now, and does not. */
async function fetchSlowly(both: Pair): Promise<void> {
  const { source, target } = both;
  await source.qmp.execute("migrate-set-parameters", SLOW);
  await migrate(both);
  await until("copying", async () => (await status(source)) === "active");
  await source.qmp.execute("migrate-start-postcopy", {});
  await until("the package is loaded", async () => (await runState(target)) === "paused");
}

async function seen(stream: EventStream, last: string): Promise<string[]> {
  const names: string[] = [];
  for await (const { event, data } of stream) {
    names.push(event === "MIGRATION" ? String(data["status"]) : event);
    if (names.at(-1) === last) return names;
  }
  return names;
}

describe("pre-copy over TLS", () => {
  it("ends at a target that is paused and runs when told", async () => {
    const both = await pair();
    const { source, target } = both;
    const sourceSaw = seen(source.qmp.events(["MIGRATION", "STOP", "RESUME"]), "completed");
    const targetSaw = seen(target.qmp.events(["MIGRATION", "STOP", "RESUME"]), "RESUME");
    await migrate(both);
    expect(await sourceSaw).toEqual(["setup", "active", "STOP", "completed"]);
    await until("loaded", async () => (await status(target)) === "completed");
    expect([await runState(source), await runState(target)]).toEqual(["postmigrate", "paused"]);
    await target.qmp.execute("cont", {});
    expect(await targetSaw).toEqual(["setup", "active", "completed", "RESUME"]);
    expect(await runState(target)).toBe("running");
  });

  it("leaves a shared disk to whoever is told to run first; the other cannot take it", async () => {
    const both = await pair();
    const { source, target } = both;
    await migrate(both);
    await until("loaded", async () => (await status(target)) === "completed");
    await until("completed", async () => (await status(source)) === "completed");
    await source.qmp.execute("cont", {}); // the target was loaded and is not wanted any more
    expect(await runState(source)).toBe("running");
    await expect(target.qmp.execute("cont", {})).rejects.toMatchObject({
      code: "QMP_REFUSED",
      details: { desc: expect.stringContaining("lock") },
    });
  });

  it("is refused by a target that does not know the source's CA; the source goes on", async () => {
    const both = await pair([], "stranger");
    await migrate(both);
    await until("failed", async () => (await status(both.source)) === "failed");
    expect(await runState(both.source)).toBe("running");
  });
});

describe("post-copy over TLS", () => {
  it("has its target paused after the device state, without an event, and runs when told", async () => {
    const both = await pair(["postcopy-ram"]);
    const { source, target } = both;
    const targetSaw = seen(target.qmp.events(["MIGRATION", "STOP", "RESUME"]), "completed");
    await fetchSlowly(both);
    expect([await status(source), await runState(source)]).toEqual(["postcopy-active", "finish-migrate"]);
    await target.qmp.execute("cont", {});
    expect(await runState(target)).toBe("running");
    await source.qmp.execute("migrate-set-parameters", { "max-postcopy-bandwidth": 0 });
    await until("completed", async () => (await status(source)) === "completed");
    expect(await targetSaw).toEqual(["setup", "active", "postcopy-active", "RESUME", "completed"]);
  });

  it("is continued after its connection broke", async () => {
    const both = await pair(["postcopy-ram"]);
    const { source, target } = both;
    await fetchSlowly(both);
    const targetSaw = seen(target.qmp.events(["MIGRATION"]), "completed");
    await target.qmp.execute("cont", {});
    const targetPaused = seen(target.qmp.events(["MIGRATION"]), "postcopy-paused");
    await source.qmp.execute("migrate-pause", {}, { outOfBand: true });
    // From here the target may answer nothing in band: its main loop may wait for a page itself.
    await targetPaused;
    await until("paused", async () => (await status(source)) === "postcopy-paused");
    const uri = await listenAgain(target);
    await source.qmp.execute("migrate-set-parameters", { "max-postcopy-bandwidth": 0 });
    await source.qmp.execute("migrate", { uri, resume: true });
    await until("completed", async () => (await status(source)) === "completed");
    // Each port that is tried brings a "setup" of its own.
    const told = (await targetSaw).filter((each, at, all) => each !== all[at - 1]);
    expect(told).toEqual(["postcopy-paused", "setup", "postcopy-recover", "postcopy-active", "completed"]);
    expect([await runState(source), await runState(target)]).toEqual(["postmigrate", "running"]);
  });

  it("gives the guest back to the source when the target died before it ran", async () => {
    const both = await pair(["postcopy-ram"]);
    const { source, target } = both;
    await fetchSlowly(both);
    await expect(reclaimSource(source.qmp, source.handle.dir)).rejects.toMatchObject({ code: "QMP_REFUSED" });
    await target.kill();
    await until("alone", async () => (await status(source)) === "postcopy-paused");
    await expect(source.qmp.execute("cont", {})).rejects.toMatchObject({ code: "QMP_REFUSED" });
    await reclaimSource(source.qmp, source.handle.dir);
    expect(await runState(source)).toBe("postmigrate");
    await source.qmp.execute("cont", {});
    expect(await runState(source)).toBe("running");
  });
});
