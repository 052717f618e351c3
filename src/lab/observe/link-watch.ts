/**
 * Reads a host's interface to the other hosts, and its agent's processor time, beside the agents and the same way for
 * whatever carries a migration. Counters of the link's interface are the only ones every way of sending shares.
 */
import { readFileSync } from "node:fs";

import { runningAgent } from "../agents.ts";
import { MIGRATION_INTERFACE } from "../names.ts";
import { type LabState, hostOf } from "../state.ts";

/** On 1 Gbit/s some 2 MiB pass in this time: the grain of a round's end. */
const PERIOD_MS = 20;
/** The kernel's unit of processor time towards programs (USER_HZ), the same on every Linux. */
const TICKS_PER_SECOND = 100;

export interface LinkReading {
  readonly atNs: bigint;
  /** Both directions. */
  readonly bytes: number;
}

/** Of the text of /proc/PID/net/dev; null when there is no such interface. */
export function bytesOf(text: string, device: string): number | null {
  const line = text.split("\n").find((one) => one.trim().startsWith(`${device}:`));
  const fields = line
    ?.slice(line.indexOf(":") + 1)
    .trim()
    .split(/\s+/)
    .map(Number);
  const [received, sent] = [fields?.[0], fields?.[8]];
  return received === undefined || sent === undefined || !Number.isFinite(received + sent)
    ? null
    : received + sent;
}

/** What passed between two moments; null when one of them was not watched. */
export function bytesBetween(readings: readonly LinkReading[], fromNs: bigint, toNs: bigint): number | null {
  const at = (ns: bigint): number | null => readings.findLast((reading) => reading.atNs <= ns)?.bytes ?? null;
  const [from, to] = [at(fromNs), at(toNs)];
  const last = readings.at(-1);
  return from === null || to === null || last === undefined || last.atNs < toNs ? null : to - from;
}

/** utime and stime of the text of /proc/PID/stat, in seconds; not of children. */
export function cpuSecondsOf(stat: string): number {
  // The command's name may hold spaces and brackets; fields are counted from its last bracket (proc(5)).
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

export function agentCpuSeconds(lab: LabState): number | null {
  let total = 0;
  for (const host of lab.hosts) {
    const agent = runningAgent(host);
    if (agent === null) return null;
    try {
      total += cpuSecondsOf(readFileSync(`/proc/${agent.pid}/stat`, "utf8"));
    } catch {
      return null;
    }
  }
  return total;
}

export interface LinkWatch {
  stop(): readonly LinkReading[];
}

/** Without root hosts share loopback, whose counters say nothing of a migration: there are no readings then. */
export function watchLink(lab: LabState, host: string): LinkWatch {
  const agent = runningAgent(hostOf(lab, host));
  const readings: LinkReading[] = [];
  const read = (): void => {
    if (lab.rootless || agent === null) return;
    try {
      // The agent's process sees the network of its host.
      const bytes = bytesOf(readFileSync(`/proc/${agent.pid}/net/dev`, "utf8"), MIGRATION_INTERFACE);
      if (bytes !== null) readings.push({ atNs: process.hrtime.bigint(), bytes });
    } catch {
      // The agent is gone: what was read stands.
    }
  };
  read();
  const timer = setInterval(read, PERIOD_MS);
  return {
    stop: () => {
      clearInterval(timer);
      read();
      return readings;
    },
  };
}
