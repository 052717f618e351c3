/** Interface counters at the IP level of the migration network: what really crossed the wire, both directions. */
import { readFileSync } from "node:fs";

export interface WireCounters {
  readonly outBytes: number;
  readonly inBytes: number;
}

export function readCounters(name: string | undefined): WireCounters | undefined {
  if (name === undefined || !/^[A-Za-z0-9_.-]{1,15}$/.test(name)) return undefined;
  const read = (which: string): number =>
    Number(readFileSync(`/sys/class/net/${name}/statistics/${which}`, "utf8"));
  try {
    return { outBytes: read("tx_bytes"), inBytes: read("rx_bytes") };
  } catch {
    return undefined;
  }
}
