import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { machineSpec, type MachineSpec } from "../../src/api/machine.ts";
import { ramBytes } from "../../src/qemu/args.ts";
import { openGuestMemory } from "../../src/qemu/guest-memory.ts";
import { postCopyBlocker, probeQemu } from "../../src/qemu/probe.ts";
import { adoptQemu, findHandle, startQemu } from "../../src/qemu/process.ts";
import type { QemuProcess, StartOptions } from "../../src/qemu/types.ts";

const BINARY = "qemu-system-x86_64";
let dir: string;
let started: QemuProcess[] = [];
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "qemu-"));
});
afterEach(async () => {
  for (const vm of started) await vm.kill();
  started = [];
  rmSync(dir, { recursive: true, force: true });
});

/** SeaBIOS alone is guest enough: it runs, uses memory and waits for a disk that never comes. */
const tiny = (spec: object = {}): MachineSpec =>
  machineSpec.parse({
    apiVersion: "godwit/v1",
    kind: "Machine",
    metadata: { name: "tiny" },
    spec: { memory: "32MiB", ...spec },
  });

async function start(options: Partial<StartOptions> = {}): Promise<QemuProcess> {
  const vm = await startQemu({
    binary: BINARY,
    machine: tiny(),
    accelerator: "tcg",
    dir: join(dir, "vm"),
    incoming: false,
    forwardAddress: "127.0.0.1",
    ...options,
  });
  started.push(vm);
  return vm;
}

describe("startQemu", () => {
  it("runs a VM at once, and an incoming one never by itself", async () => {
    const vm = await start();
    expect(await vm.qmp.execute("query-status", {})).toMatchObject({ running: true });
    expect(existsSync(join(dir, "vm/console.sock"))).toBe(true);
    const incoming = await start({ dir: join(dir, "in"), incoming: true });
    expect(await incoming.qmp.execute("query-status", {})).toMatchObject({ status: "inmigrate" });
  });

  it("starts disks, NICs and forwards as the spec says", async () => {
    const path = join(dir, "disk,one.raw");
    writeFileSync(path, Buffer.alloc(1 << 20));
    const forward = [{ protocol: "udp" as const, hostPort: 39_017, guestPort: 7000 }];
    const nics = [{ bridge: "user", mac: "52:54:00:00:00:01", forward }];
    const vm = await start({ machine: tiny({ disks: [{ path }], nics }) });
    const shown = await vm.qmp.execute("human-monitor-command", { "command-line": "info usernet" });
    expect(shown).toContain("39017");
  });

  it("says at once how QEMU ended and its last words when it does not start", async () => {
    const cannot = start({ machine: tiny({ cpu: "no-such-cpu" }) });
    await expect(cannot).rejects.toMatchObject({
      code: "QEMU_EXITED",
      details: { vm: "tiny", how: "exit code 1", log: expect.stringContaining("no-such-cpu") },
    });
    expect(await findHandle(join(dir, "vm"))).toBeUndefined();
    await expect(start({ binary: "/no/such/qemu" })).rejects.toMatchObject({ code: "QEMU_MISSING" });
  });

  it("is not confused by a dead QEMU's socket, and refuses a folder whose QEMU lives", async () => {
    const first = await start();
    await expect(start()).rejects.toMatchObject({ code: "VM_EXISTS" });
    process.kill(first.handle.pid, "SIGKILL");
    await first.exited;
    expect(existsSync(join(dir, "vm/qmp.sock"))).toBe(true);
    const second = await start();
    expect(await second.qmp.execute("query-status", {})).toMatchObject({ running: true });
  });
});

describe("a guest's memory read from its process", () => {
  it.each(["32MiB", "3GiB"])("is what QEMU's monitor says, of %s", async (memory) => {
    const machine = tiny({ memory });
    const vm = await start({ machine });
    const found = openGuestMemory({ pid: vm.handle.pid, ramBytes: ramBytes(machine, "tcg") });
    if (found === undefined) throw new Error("the RAM was not found");
    // SeaBIOS writes its interrupt table and data to the first pages.
    const here = Buffer.alloc(0x10000);
    const isWritten = (): boolean => (found.read(0, here), here.some((byte) => byte !== 0));
    await expect.poll(isWritten, { timeout: 10_000, interval: 20 }).toBe(true);
    await vm.qmp.execute("stop", {});
    found.read(0, here);
    found.close();
    const filename = join(dir, "there.bin");
    await vm.qmp.execute("pmemsave", { val: 0, size: here.byteLength, filename });
    expect(here.equals(readFileSync(filename))).toBe(true);
  });

  it("is not to be had when it has ended", async () => {
    const vm = await start();
    await vm.kill();
    expect(openGuestMemory({ pid: vm.handle.pid, ramBytes: ramBytes(tiny(), "tcg") })).toBeUndefined();
  });
});

describe("adoptQemu", () => {
  it("finds the same QEMU again after the connection was dropped, and ends it for certain", async () => {
    const first = await start();
    const handle = JSON.parse(JSON.stringify(first.handle)) as typeof first.handle;
    expect(await findHandle(handle.dir)).toEqual(handle);
    await first.qmp[Symbol.asyncDispose]();

    const again = await adoptQemu(handle);
    if (again === undefined) throw new Error("it lives");
    expect(await again.qmp.execute("query-status", {})).toMatchObject({ running: true });
    expect(again.cpuSeconds()).toBeGreaterThan(0);
    await again.kill();
    await again.kill();
    expect(await again.exited).toContain("ended");
    expect(await first.exited).toContain("SIGKILL");
    expect(existsSync(join(handle.dir, "qmp.sock"))).toBe(false);
    expect(await adoptQemu(handle)).toBeUndefined();
  });

  it("finds a QEMU whose agent is gone", async () => {
    const options = {
      binary: BINARY,
      machine: tiny(),
      accelerator: "tcg",
      dir: join(dir, "vm"),
      incoming: false,
      forwardAddress: "127.0.0.1",
    };
    const agent = `
      const { startQemu } = await import(${JSON.stringify(import.meta.resolve("../../src/qemu/process.ts"))});
      await startQemu(${JSON.stringify(options)});
      process.kill(process.pid, "SIGKILL");`;
    const { signal } = spawnSync(process.execPath, ["--input-type=module", "-e", agent], { timeout: 30_000 });
    expect(signal).toBe("SIGKILL");
    const handle = await findHandle(options.dir);
    if (handle === undefined) throw new Error("no handle was written");
    const vm = await adoptQemu(handle);
    if (vm === undefined) throw new Error("it did not outlive the agent");
    started.push(vm);
    expect(await vm.qmp.execute("query-status", {})).toMatchObject({ running: true });
    await vm.kill();
    expect(await adoptQemu(handle)).toBeUndefined();
  });

  it("does not take another process with the same pid for it", async () => {
    const vm = await start();
    expect(
      await adoptQemu({ ...vm.handle, startTicks: vm.handle.startTicks + 1, dir: join(dir, "x") }),
    ).toBeUndefined();
    expect(await vm.qmp.execute("query-status", {})).toMatchObject({ running: true });
  });

  it("learns that an adopted QEMU ended by itself", async () => {
    const first = await start();
    await first.qmp[Symbol.asyncDispose]();
    const again = await adoptQemu(first.handle);
    await again?.qmp.execute("quit", {});
    expect(await again?.exited).toContain("ended");
  });
});

describe("probeQemu", () => {
  it("tells what the binary can do", async () => {
    const facts = await probeQemu(BINARY);
    expect(facts.version).toMatch(/^\d+\.\d+\.\d+$/);
    expect(facts.accelerators).toContain("tcg");
    expect(facts.machines).toContain("pc-q35-7.2");
    expect(facts.cpus).toContain("qemu64");
    expect(facts.capabilities).toEqual(expect.arrayContaining(["postcopy-ram", "return-path", "events"]));
    expect(await postCopyBlocker(BINARY)).toBe("");
  });

  it("refuses a binary that is missing or is not QEMU", async () => {
    await expect(probeQemu("/no/such/qemu")).rejects.toMatchObject({ code: "QEMU_MISSING" });
    await expect(probeQemu("/bin/false")).rejects.toMatchObject({ code: "QEMU_EXITED" });
  });
});

describe.runIf(process.geteuid?.() === 0)("a NIC on a bridge", () => {
  const BRIDGE = "gwtest0";
  const links = (): string =>
    execFileSync("ip", ["-o", "link", "show", "master", BRIDGE], { encoding: "utf8" });
  beforeEach(() => execFileSync("ip", ["link", "add", BRIDGE, "type", "bridge"]));
  afterEach(() => execFileSync("ip", ["link", "delete", BRIDGE]));

  it("has a tap there as long as its QEMU lives, also when that was killed by another", async () => {
    const machine = tiny({ nics: [{ bridge: BRIDGE, mac: "52:54:00:00:00:01" }] });
    const vm = await start({ machine });
    const [tap] = vm.handle.taps;
    expect(links()).toContain(`${tap}:`);
    await vm.kill();
    expect(links()).toBe("");

    const second = await start({ machine });
    process.kill(second.handle.pid, "SIGKILL");
    await second.exited;
    expect(links()).toContain(`${tap}:`);
    expect(await adoptQemu(second.handle)).toBeUndefined();
    expect(links()).toBe("");
  });

  it("is refused by name when there is no such bridge, and leaves nothing behind", async () => {
    const nics = [BRIDGE, "gwnone0"].map((bridge, n) => ({ bridge, mac: `52:54:00:00:00:0${n}` }));
    await expect(start({ machine: tiny({ nics }) })).rejects.toMatchObject({
      code: "TOOL_FAILED",
      message: expect.stringContaining("gwnone0"),
    });
    expect(links()).toBe("");
  });
});
