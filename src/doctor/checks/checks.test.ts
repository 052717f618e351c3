/** Each check's judgement over facts, and the readers of what the kernel prints. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import type { Verdict } from "../types.ts";
import { certificates, type CertificatesFacts } from "./certificates.ts";
import { clock } from "./clock.ts";
import { configuration } from "./configuration.ts";
import { checks } from "./index.ts";
import { kvm } from "./kvm.ts";
import { limits, parseLimits } from "./limits.ts";
import { memory, parseMeminfo } from "./memory.ts";
import { network } from "./network.ts";
import { node } from "./node.ts";
import { peers } from "./peers.ts";
import { parseListening, ports } from "./ports.ts";
import { postCopy } from "./post-copy.ts";
import { qemu } from "./qemu.ts";
import { service } from "./service.ts";
import { stateDisk } from "./state-disk.ts";

const GiB = 2 ** 30;
const DAY_MS = 24 * 3600e3;
const severities = (verdicts: readonly Verdict[]): string[] => verdicts.map((one) => one.severity);
/** Severity and next step of the only verdict. */
const only = (verdicts: readonly Verdict[]): [string, string] => {
  const [one, ...more] = verdicts;
  if (one === undefined || more.length > 0) throw new Error(`${verdicts.length} verdicts`);
  return [one.severity, one.next];
};

test("every check has a name of its own", () => {
  const names = checks.map((check) => check.name);
  expect(names).toEqual([...new Set(names)]);
});

test("node: 24 and newer, by number and not by letter", () => {
  expect(severities(node.judge({ version: "24.0.0" }))).toEqual(["fine"]);
  expect(severities(node.judge({ version: "100.1.0" }))).toEqual(["fine"]);
  expect(severities(node.judge({ version: "20.20.2" }))).toEqual(["blocker"]);
});

describe("qemu", () => {
  const binary = "qemu-system-x86_64";
  test("found is fine", () => {
    expect(only(qemu.judge({ binary, version: "7.2.22" }))).toEqual(["fine", ""]);
  });
  test("missing is cured by its package", () => {
    const facts = { binary, code: "QEMU_MISSING", problem: "QEMU was not found.", next: "?" };
    expect(only(qemu.judge(facts))[1]).toContain("apt-get install");
  });
  test("too old is not cured by installing the same again", () => {
    const facts = {
      binary,
      code: "QEMU_TOO_OLD",
      problem: "QEMU 5.2 is too old.",
      next: "Install QEMU 7.2.",
    };
    expect(only(qemu.judge(facts))).toEqual(["blocker", "Install QEMU 7.2."]);
  });
});

describe("kvm", () => {
  const intel = "flags\t\t: fpu vmx sse\n";
  test("usable", () => {
    expect(only(kvm.judge({ deviceExists: true, deviceOpens: true, cpuinfo: intel }))).toEqual(["fine", ""]);
  });
  test("a CPU without it cannot be cured by a command, even where the device is", () => {
    const [severity, next] = only(
      kvm.judge({ deviceExists: true, deviceOpens: true, cpuinfo: "flags : fpu\n" }),
    );
    expect(severity).toBe("warning");
    expect(next).toContain("firmware");
  });
  test.each([
    [intel, "modprobe kvm_intel"],
    ["flags : fpu svm\n", "modprobe kvm_amd"],
  ])("a module that is not loaded is named by its CPU: %s", (cpuinfo, next) => {
    expect(only(kvm.judge({ deviceExists: false, deviceOpens: false, cpuinfo }))[1]).toBe(next);
  });
  test("a device that does not open is a matter of the group", () => {
    expect(only(kvm.judge({ deviceExists: true, deviceOpens: false, cpuinfo: intel }))[1]).toContain(
      "usermod",
    );
  });
});

test("post-copy: QEMU's own reason, and the switch that cures it", () => {
  expect(only(postCopy.judge({ reason: "" }))).toEqual(["fine", ""]);
  expect(only(postCopy.judge({ reason: "userfaultfd not available" }))[1]).toContain(
    "unprivileged_userfaultfd",
  );
});

describe("memory", () => {
  test("/proc/meminfo is read", () => {
    const text =
      "MemTotal:       24650516 kB\nMemAvailable:   23912340 kB\nHugePages_Total:       2\nHugepagesize:       2048 kB\n";
    expect(parseMeminfo(text)).toEqual({
      totalBytes: 24650516 * 1024,
      availableBytes: 23912340 * 1024,
      hugePagesBytes: 4 * 2 ** 20,
    });
  });
  test("too little is said, and so are huge pages nobody uses", () => {
    const facts = { totalBytes: 16 * GiB, availableBytes: 8 * GiB, hugePagesBytes: 0 };
    expect(severities(memory.judge(facts))).toEqual(["fine"]);
    expect(severities(memory.judge({ ...facts, availableBytes: GiB / 4 }))).toEqual(["warning"]);
    expect(severities(memory.judge({ ...facts, hugePagesBytes: 4 * GiB }))).toEqual(["fine", "warning"]);
  });
});

describe("limits", () => {
  test("/proc/PID/limits is read, soft limits first", () => {
    const text =
      "Limit                     Soft Limit           Hard Limit           Units\n" +
      "Max open files            1024                 524288               files\n" +
      "Max locked memory         unlimited            unlimited            bytes\n";
    expect(parseLimits(text)).toEqual({ openFiles: 1024, lockedBytes: Infinity });
  });
  test("few files and little locked memory are two findings", () => {
    expect(severities(limits.judge({ openFiles: 1024, lockedBytes: 65_536 }))).toEqual([
      "warning",
      "warning",
    ]);
    expect(severities(limits.judge({ openFiles: 4096, lockedBytes: Infinity }))).toEqual(["fine"]);
  });
});

test("network: each missing part by itself", () => {
  expect(severities(network.judge({ tun: true, ip: true, bridges: ["br0"] }))).toEqual(["fine"]);
  expect(severities(network.judge({ tun: false, ip: false, bridges: [] }))).toHaveLength(3);
  expect(only(network.judge({ tun: false, ip: true, bridges: ["br0"] }))[1]).toBe("modprobe tun");
});

test("clock: not synchronised, and not known, are told apart", () => {
  expect(severities(clock.judge({ synchronised: true }))).toEqual(["fine"]);
  expect(only(clock.judge({ synchronised: false }))[1]).toContain("set-ntp");
  expect(only(clock.judge({ synchronised: undefined }))[1]).not.toContain("set-ntp");
});

test("configuration: none is a warning, a wrong one stops", () => {
  const facts = { file: "/etc/godwit/agent.yaml", example: "/usr/share/x.yaml" };
  expect(severities(configuration.judge({ ...facts, exists: true, problem: "" }))).toEqual(["fine"]);
  expect(severities(configuration.judge({ ...facts, exists: false, problem: "none" }))).toEqual(["warning"]);
  expect(severities(configuration.judge({ ...facts, exists: true, problem: "bad" }))).toEqual(["blocker"]);
});

test("state disk: low warns, full stops", () => {
  const facts = { folder: "/var/lib/godwit", writable: true };
  expect(severities(stateDisk.judge({ ...facts, freeBytes: GiB }))).toEqual(["fine"]);
  expect(severities(stateDisk.judge({ ...facts, freeBytes: 100 * 2 ** 20 }))).toEqual(["warning"]);
  expect(severities(stateDisk.judge({ ...facts, freeBytes: 2 ** 20 }))).toEqual(["blocker"]);
  expect(severities(stateDisk.judge({ ...facts, freeBytes: GiB, writable: false }))).toEqual(["warning"]);
});

describe("ports", () => {
  const line = (port: number, state: string): string =>
    `   0: 0100007F:${port.toString(16).toUpperCase().padStart(4, "0")} 00000000:0000 ${state} 00000000:00000000`;
  test("only listening sockets count", () => {
    const text = ["  sl  local_address rem_address   st", line(49152, "0A"), line(49153, "01")].join("\n");
    expect(parseListening(text)).toEqual([49152]);
  });
  test("whatever the kernel prints, nothing but ports comes out", () => {
    fc.assert(
      fc.property(fc.string(), (text) =>
        parseListening(text).every((port) => Number.isInteger(port) && port >= 0 && port <= 65_535),
      ),
    );
  });
  test("one free port of many is a warning, none stops", () => {
    const judged = (listening: readonly number[]) => severities(ports.judge({ min: 10, max: 12, listening }));
    expect(judged([9, 13])).toEqual(["fine"]);
    expect(judged([10, 11, 11])).toEqual(["warning"]);
    expect(judged([10, 11, 12])).toEqual(["blocker"]);
    expect(severities(ports.judge({ min: 12, max: 10, listening: [] }))).toEqual(["blocker"]);
  });
});

describe("certificates", () => {
  const nowMs = Date.UTC(2026, 5, 1);
  const one = {
    file: "server-cert.pem",
    name: "a",
    validFromMs: nowMs - DAY_MS,
    validToMs: nowMs + 400 * DAY_MS,
    trusted: true,
  };
  const facts: CertificatesFacts = {
    host: { name: "a", address: "192.0.2.1", folder: "/etc/godwit/pki" },
    missing: [],
    certificates: [one],
    openKeys: [],
    hasDhParams: true,
    nowMs,
  };
  const judged = (more: Partial<typeof one>) =>
    severities(certificates.judge({ ...facts, certificates: [{ ...one, ...more }] }));
  test("valid ones are fine", () => {
    expect(judged({})).toEqual(["fine"]);
  });
  test("expired, not yet valid, another host's, of another CA: each stops", () => {
    expect(judged({ validToMs: nowMs - DAY_MS })).toEqual(["blocker"]);
    expect(judged({ validFromMs: nowMs + 1 })).toEqual(["blocker"]);
    expect(judged({ name: "b" })).toEqual(["blocker"]);
    expect(judged({ trusted: false })).toEqual(["blocker"]);
  });
  test("the CA's own name and signer are not the host's", () => {
    expect(judged({ file: "ca-cert.pem", name: "godwit CA", trusted: false })).toEqual(["fine"]);
  });
  test("one that expires this month is a warning, cured by making it again", () => {
    const verdicts = certificates.judge({
      ...facts,
      certificates: [{ ...one, validToMs: nowMs + 5 * DAY_MS }],
    });
    expect(only(verdicts)).toEqual([
      "warning",
      "godwit host init --name a --address 192.0.2.1 --out /etc/godwit/pki",
    ]);
  });
  test("a key that others can read", () => {
    expect(only(certificates.judge({ ...facts, openKeys: ["server-key.pem"] }))).toEqual([
      "warning",
      "chmod 600 /etc/godwit/pki/server-key.pem",
    ]);
  });
  test("QEMU would make Diffie-Hellman parameters for each migration", () => {
    expect(only(certificates.judge({ ...facts, hasDhParams: false }))).toEqual([
      "warning",
      "godwit host init --name a --address 192.0.2.1 --out /etc/godwit/pki",
    ]);
  });
  test("missing files are named once, together", () => {
    expect(
      severities(certificates.judge({ ...facts, missing: ["a.pem", "b.pem"], certificates: [] })),
    ).toEqual(["blocker"]);
  });
});

test("service: not a systemd host, not installed, not running, running", () => {
  const facts = { systemd: true, load: "loaded", active: "active", unit: "/opt/godwit-agent.service" };
  expect(severities(service.judge(facts))).toEqual(["fine"]);
  expect(severities(service.judge({ ...facts, systemd: false }))).toEqual(["fine"]);
  expect(only(service.judge({ ...facts, load: "not-found" }))[1]).toContain(facts.unit);
  expect(only(service.judge({ ...facts, active: "failed" }))[1]).toContain("journalctl");
  expect(only(service.judge({ ...facts, active: "inactive" }))[1]).toContain("enable --now");
});

test("peers: one finding each", () => {
  const peer = { name: "b", address: "192.0.2.2:7465", detail: "QEMU 7.2" };
  const both = [
    { ...peer, reachable: true },
    { ...peer, name: "c", reachable: false },
  ];
  expect(severities(peers.judge({ configured: true, peers: both }))).toEqual(["fine", "warning"]);
  expect(severities(peers.judge({ configured: true, peers: [] }))).toEqual(["warning"]);
});
