/** What /proc says about one process: whether it is still the one we mean, and the CPU time it used. */
import { readFileSync } from "node:fs";

import type { QemuHandle } from "./types.ts";

/** USER_HZ: 100 on every Linux that QEMU/KVM runs on, whatever the kernel's own tick. */
const TICKS_PER_SECOND = 100;

export interface ProcStat {
  /** Z and X are processes that ended and only wait to be collected. */
  readonly state: string;
  readonly startTicks: number;
  readonly cpuSeconds: number;
}

/** proc(5), /proc/pid/stat. Field 2 is the name in brackets and may itself hold brackets and spaces. */
export function parseStat(text: string): ProcStat | undefined {
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const number = (field: number): number => Number(fields[field - 3]);
  const state = fields[0];
  const startTicks = number(22);
  const cpuSeconds = (number(14) + number(15)) / TICKS_PER_SECOND;
  if (state === undefined || Number.isNaN(startTicks) || Number.isNaN(cpuSeconds)) return undefined;
  return { state, startTicks, cpuSeconds };
}

export function readStat(pid: number): ProcStat | undefined {
  try {
    return parseStat(readFileSync(`/proc/${pid}/stat`, "latin1"));
  } catch {
    return undefined; // ENOENT, or ESRCH when it ends while being read
  }
}

/** The stat of exactly this process while it lives. */
export function liveStat(handle: Pick<QemuHandle, "pid" | "startTicks">): ProcStat | undefined {
  const stat = readStat(handle.pid);
  if (stat === undefined || stat.startTicks !== handle.startTicks) return undefined;
  return stat.state === "Z" || stat.state === "X" ? undefined : stat;
}
