/** Memory for guests: what is available, and what is set aside as huge pages, which no VM of godwit's uses. */
import { readFileSync } from "node:fs";

import { formatBytes } from "../../std/units.ts";
import { fine, warning, type Check, type Verdict } from "../types.ts";

export interface MemoryFacts {
  readonly totalBytes: number;
  readonly availableBytes: number;
  readonly hugePagesBytes: number;
}

/** A small guest and its QEMU. */
const AVAILABLE_MIN_BYTES = 512 * 2 ** 20;
const HUGE_SHARE_MAX = 0.1;

/** /proc/meminfo, proc(5); sizes in kB. */
export function parseMeminfo(text: string): MemoryFacts {
  const figure = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d{1,15})\\b`, "m").exec(text)?.[1] ?? 0);
  return {
    totalBytes: figure("MemTotal") * 1024,
    availableBytes: figure("MemAvailable") * 1024,
    hugePagesBytes: figure("HugePages_Total") * figure("Hugepagesize") * 1024,
  };
}

function* judge({ totalBytes, availableBytes, hugePagesBytes }: MemoryFacts): Generator<Verdict> {
  const room = `${formatBytes(availableBytes)} of ${formatBytes(totalBytes)} of memory are available`;
  yield availableBytes >= AVAILABLE_MIN_BYTES
    ? fine(`${room}.`)
    : warning(`Only ${room}.`, "godwit list shows the VMs of this host; move or stop one.");
  if (hugePagesBytes > totalBytes * HUGE_SHARE_MAX) {
    yield warning(
      `${formatBytes(hugePagesBytes)} are set aside as huge pages, which VMs here do not use.`,
      "sysctl -w vm.nr_hugepages=0",
    );
  }
}

export const memory: Check<MemoryFacts> = {
  name: "memory",
  gather: () => parseMeminfo(readFileSync("/proc/meminfo", "utf8")),
  judge: (facts) => [...judge(facts)],
};
