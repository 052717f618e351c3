import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import { FakeQmpServer } from "../../test/fakes/qmp-server.ts";
import type { HostFacts } from "../api/host.ts";
import { machineSpec } from "../api/machine.ts";
import { migrateSettings } from "../api/migration.ts";
import { connectQmp } from "../qmp/client.ts";
import { blockers, type CheckInput, findings, namedBridges, namedFiles } from "./check.ts";
import { missingHere } from "./missing.ts";

const machine = (spec: object = {}) =>
  machineSpec.parse({
    apiVersion: "godwit/v1",
    kind: "Machine",
    metadata: { name: "db-1" },
    spec: { memory: "1GiB", ...spec },
  });

const qemu: HostFacts["qemu"] = {
  binary: "qemu-system-x86_64",
  version: "7.2.22",
  accelerators: ["tcg"],
  machines: ["pc-q35-7.2"],
  cpus: ["qemu64", "host", "max"],
  capabilities: ["postcopy-ram"],
};
const host = (name: string, rest: Partial<HostFacts> = {}): HostFacts => ({
  name,
  godwit: "0.1.0",
  bootId: name,
  qemu,
  memory: { totalBytes: 8 * 2 ** 30, availableBytes: 4 * 2 ** 30 },
  vcpus: 4,
  postCopyBlocker: "",
  stateDiskFreeBytes: 2 ** 30,
  ...rest,
});
const input = (rest: Partial<CheckInput> = {}): CheckInput => ({
  machine: machine(),
  accelerator: "tcg",
  source: host("a"),
  target: host("b"),
  settings: migrateSettings.parse({}),
  targetVmNames: [],
  missingAtTarget: { files: [], bridges: [] },
  ...rest,
});
const target = (rest: Partial<HostFacts["qemu"]>): Partial<CheckInput> => ({
  target: host("b", { qemu: { ...qemu, ...rest } }),
});
const spec = (rest: object): Partial<CheckInput> => ({ machine: machine(rest) });
const settings = (rest: object): Partial<CheckInput> => ({ settings: migrateSettings.parse(rest) });

describe("findings", () => {
  it("finds nothing wrong with two equal hosts", () => {
    expect(findings(input())).toEqual([]);
    expect(findings(input(settings({ technique: "post-copy" })))).toEqual([]);
    expect(findings(input(settings({ verifyMemory: true })))).toEqual([]);
  });

  const noPostCopy = { target: host("b", { postCopyBlocker: "userfaultfd not available" }) };
  const fetchLater = { last: [{ do: "post-copy" }] };
  it.each<[string, Partial<CheckInput>, readonly string[]]>([
    ["a CPU that differs by host", spec({ cpu: "host,-x2apic" }), ["blocker CPU_NOT_PORTABLE"]],
    ["a CPU that is the best of each host", spec({ cpu: "max" }), ["blocker CPU_NOT_PORTABLE"]],
    ["a CPU unknown at the target", spec({ cpu: "EPYC-v9,+avx2" }), ["blocker CPU_UNKNOWN"]],
    ["a machine type unknown there", spec({ machine: "pc-q35-9.2" }), ["blocker MACHINE_UNKNOWN"]],
    ["another accelerator", { accelerator: "kvm" }, ["blocker ACCELERATOR_DIFFERS"]],
    ["more vCPUs than the host has", spec({ vcpus: 5 }), ["warning VCPUS_EXCEED_HOST"]],
    [
      "an older QEMU there",
      { source: host("a", { qemu: { ...qemu, version: "10.0.1" } }) },
      ["warning QEMU_OLDER_AT_TARGET"],
    ],
    ["only an older patch level there", { source: host("a", { qemu: { ...qemu, version: "7.2.23" } }) }, []],
    [
      "a QEMU that is too old",
      target({ version: "6.2.0" }),
      ["blocker QEMU_TOO_OLD", "warning QEMU_OLDER_AT_TARGET"],
    ],
    ["a name that is taken", { targetVmNames: ["x", "db-1"] }, ["blocker NAME_TAKEN"]],
    [
      "memory for the guest but not for QEMU",
      { target: host("b", { memory: { totalBytes: 2 ** 31, availableBytes: 2 ** 30 + 1 } }) },
      ["blocker MEMORY_SHORT"],
    ],
    [
      "a state disk that is low",
      { source: host("a", { stateDiskFreeBytes: 2 ** 27 }) },
      ["warning STATE_DISK_LOW"],
    ],
    [
      "a state disk that is full",
      { target: host("b", { stateDiskFreeBytes: 0 }) },
      ["blocker STATE_DISK_FULL"],
    ],
    ["a local disk", spec({ disks: [{ path: "/d" }] }), ["blocker DISK_NOT_SHARED"]],
    ["a shared disk", spec({ disks: [{ path: "/d", shared: true }] }), []],
    ["a read-only copy", spec({ disks: [{ path: "/d", readonly: true }] }), ["warning DISK_NOT_COMPARED"]],
    [
      "a file missing there",
      { missingAtTarget: { files: ["/vmlinuz"], bridges: [] } },
      ["blocker FILE_MISSING"],
    ],
    [
      "a bridge missing there",
      { missingAtTarget: { files: [], bridges: ["br0"] } },
      ["blocker BRIDGE_MISSING"],
    ],
    [
      "post-copy that cannot arrive",
      { ...noPostCopy, ...settings({ technique: "hybrid" }) },
      ["blocker POSTCOPY_UNAVAILABLE"],
    ],
    [
      "a policy that ends in it",
      { ...noPostCopy, ...settings({ policy: fetchLater }) },
      ["blocker POSTCOPY_UNAVAILABLE"],
    ],
    ["pre-copy to that host", noPostCopy, []],
    [
      "a QEMU built without post-copy",
      { ...target({ capabilities: [] }), ...settings({ technique: "post-copy" }) },
      ["blocker POSTCOPY_UNAVAILABLE"],
    ],
    [
      "a memory check with post-copy",
      settings({ technique: "post-copy", verifyMemory: true }),
      ["blocker VERIFY_WITH_POSTCOPY"],
    ],
  ])("finds %s", (_what, rest, want) => {
    expect(findings(input(rest)).map((f) => `${f.severity} ${f.code}`)).toEqual(want);
  });

  it("finds everything at once, blockers first, each with what to do", () => {
    const found = findings(
      input({ ...spec({ cpu: "host", vcpus: 9, disks: [{ path: "/d" }] }), targetVmNames: ["db-1"] }),
    );
    expect(found.map((f) => f.code)).toEqual([
      "CPU_NOT_PORTABLE",
      "NAME_TAKEN",
      "DISK_NOT_SHARED",
      "VCPUS_EXCEED_HOST",
    ]);
    for (const { what, next } of found) {
      expect(what).toMatch(/\.$/);
      expect(next).not.toBe("");
    }
  });
});

describe("what the target is asked for", () => {
  it("is every file and bridge of the spec, and the answer is what it lacks", async () => {
    const nics = ["user", "gwnone0", "gwnone0"].map((bridge, n) => ({ bridge, mac: `52:54:00:00:00:0${n}` }));
    const vm = machine({
      kernel: "/no/vmlinuz",
      initrd: import.meta.filename,
      disks: [{ path: "/no/d" }],
      nics,
    });
    expect(namedFiles(vm)).toEqual(["/no/vmlinuz", import.meta.filename, "/no/d"]);
    expect(namedBridges(vm)).toEqual(["gwnone0"]);
    expect(await missingHere(vm)).toEqual({ files: ["/no/vmlinuz", "/no/d"], bridges: ["gwnone0"] });
  });
});

describe("blockers", () => {
  it("are QEMU's own reasons", async () => {
    const dir = mkdtempSync(join(tmpdir(), "check-"));
    try {
      const reasons = { "blocked-reasons": ["State blocked by non-migratable device 'x'"] };
      const handlers = { "query-migrate": () => ({ returns: reasons }) };
      await using _fake = await FakeQmpServer.listen(join(dir, "q"), { handlers });
      await using qmp = await connectQmp(join(dir, "q"));
      expect(await blockers(qmp)).toMatchObject([
        {
          code: "QEMU_BLOCKS",
          severity: "blocker",
          what: expect.stringContaining("non-migratable device 'x'"),
        },
      ]);
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });
});
