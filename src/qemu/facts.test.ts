import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { machineSpec } from "../api/machine.ts";
import { accelerators } from "./probe.ts";
import { liveStat, parseStat, readStat } from "./proc.ts";
import { tapNames } from "./taps.ts";
import { isSupported, parseVersion } from "./version.ts";

describe("accelerators", () => {
  const cpuinfo = (flags: string): string =>
    `processor\t: 0\nflags\t\t: fpu ${flags} sse2\nbugs\t\t: vmx_x\n`;
  it.each([
    ["an Intel CPU and a device that opens", true, "vmx", ["kvm", "tcg"]],
    ["an AMD CPU and a device that opens", true, "svm", ["kvm", "tcg"]],
    ["a device on a CPU without the extensions", true, "lm", ["tcg"]],
    ["a flag that only contains the name", true, "vmx2", ["tcg"]],
    ["a device that does not open", false, "vmx", ["tcg"]],
  ])("with %s", (_what, deviceOpens, flags, want) => {
    expect(accelerators({ deviceOpens, cpuinfo: cpuinfo(flags) })).toEqual(want);
  });
});

describe("a QEMU version", () => {
  it("is supported from 7.2 on", () => {
    const versions = ["", "next", "6.2.0", "7.1.9", "7.2.0", "7.10.1", "8.0.0", "10.0.13"];
    const supported = versions.filter((text) => isSupported(parseVersion(text)));
    expect(supported).toEqual(["7.2.0", "7.10.1", "8.0.0", "10.0.13"]);
  });
});

describe("/proc/PID/stat", () => {
  const line = (name: string): string =>
    `42 (${name}) S 1 42 42 0 -1 4194560 100 0 0 0 150 25 0 0 20 0 3 0 987654 1000 50`;

  it("is read past whatever the process calls itself", () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 15 }), (name) => {
        expect(parseStat(line(name))).toEqual({ state: "S", startTicks: 987_654, cpuSeconds: 1.75 });
      }),
    );
    expect(parseStat("42 (x) S 1")).toBeUndefined();
    expect(parseStat("")).toBeUndefined();
  });

  it("tells this process from another that has its pid", () => {
    const startTicks = readStat(process.pid)?.startTicks ?? 0;
    expect(liveStat({ pid: process.pid, startTicks })?.cpuSeconds).toBeGreaterThan(0);
    expect(liveStat({ pid: process.pid, startTicks: startTicks + 1 })).toBeUndefined();
  });
});

describe("tap names", () => {
  it("fit a network device, differ by host folder, VM and NIC, and skip the user bridge", () => {
    const vm = (name: string) =>
      machineSpec.parse({
        apiVersion: "godwit/v1",
        kind: "Machine",
        metadata: { name },
        spec: {
          memory: "1GiB",
          nics: ["br0", "user", "br1"].map((bridge, n) => ({ bridge, mac: `52:54:00:00:00:0${n}` })),
        },
      });
    const long = "a".repeat(63);
    const names = [tapNames(vm(long), "/a"), tapNames(vm(long), "/b"), tapNames(vm("b"), "/a")].flat();
    expect(new Set(names).size).toBe(6);
    for (const name of names) expect(name).toMatch(/^gw[0-9a-f]{10}[0-7]$/);
    expect(tapNames(vm(long), "/a")).toEqual(names.slice(0, 2));
  });
});
