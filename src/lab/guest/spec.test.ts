import { expect, test } from "vitest";

import { machineSpec } from "../../api/machine.ts";
import { CodedError } from "../../std/errors.ts";
import { guestMachine } from "./spec.ts";
import { workloadNames, workloads } from "./workloads.ts";

const files = { kernel: "/k", initrd: { base: "/base", redis: "/redis" } };
const options = {
  name: "db-1",
  address: "10.77.0.10",
  prefix: 24,
  clientAddress: "10.77.0.1",
  mac: "52:54:00:00:00:01",
  bridge: "br0",
  files,
} as const;

test("every workload's machine passes the machine spec's own check", () => {
  for (const workload of workloadNames) {
    const machine = guestMachine({ ...options, workload });
    expect(machineSpec.parse(machine)).toEqual(machine);
    expect(machine.spec.initrd).toBe(files.initrd[workloads[workload].flavour]);
    expect(machine.spec.cmdline).toContain(`godwit.workload=${workload}`);
  }
});

test("the guest is told its address, and where the client is", () => {
  const { spec } = guestMachine({ ...options, workload: "idle" });
  expect(spec.cmdline).toContain("godwit.ip=10.77.0.10/24 godwit.client=10.77.0.1 ");
});

test("without root, QEMU's own addresses are taken", () => {
  const { spec } = guestMachine({ ...options, workload: "idle", bridge: "user" });
  expect(spec.cmdline).toContain("godwit.ip=10.0.2.15/24 godwit.client=10.0.2.2 ");
});

test("the writer's quantities are read with their units", () => {
  const params = { set: "2MiB", rate: "1MiB/s", pattern: "hot-set", content: "text", seed: 7 };
  expect(workloads.writer.cmdline(params)).toBe(
    "godwit.workload=writer godwit.writer=2097152,1048576,hot-set,text,7",
  );
});

test.each([
  ["a bare number", { set: "64" }, /unit is needed/],
  ["a pattern nobody knows", { pattern: "zigzag" }, /pattern/],
  ["a parameter nobody knows", { sets: "64MiB" }, /sets/],
])("%s is refused as usage", (_what, params, words) => {
  const refuse = () => workloads.writer.cmdline(params);
  expect(refuse).toThrow(words);
  expect(refuse).toThrow(CodedError);
});
