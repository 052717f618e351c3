/** The disk of the agent's state folder: journals are written there before anything takes effect. */
import { accessSync, constants, existsSync, statfsSync } from "node:fs";
import { dirname } from "node:path";

import { STATE_DISK_FULL_BYTES, STATE_DISK_LOW_BYTES } from "../../qemu/check.ts";
import { formatBytes } from "../../std/units.ts";
import { blocker, fine, warning, type Check, type Verdict } from "../types.ts";

interface StateDiskFacts {
  readonly folder: string;
  readonly freeBytes: number;
  readonly writable: boolean;
}

const DEFAULT_FOLDER = "/var/lib/godwit";

function judge({ folder, freeBytes, writable }: StateDiskFacts): Verdict {
  const room = `${formatBytes(freeBytes)} are free for ${folder}`;
  const next = `df -h ${folder} shows what is full; make room there.`;
  if (!writable)
    return warning(`This user may not write to ${folder}.`, `Run as the agent's user: sudo godwit doctor`);
  if (freeBytes < STATE_DISK_FULL_BYTES) return blocker(`Only ${room}: no journal fits.`, next);
  return freeBytes < STATE_DISK_LOW_BYTES ? warning(`Only ${room}.`, next) : fine(`${room}.`);
}

const existing = (folder: string): string => (existsSync(folder) ? folder : existing(dirname(folder)));

function isWritable(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

export const stateDisk: Check<StateDiskFacts> = {
  name: "state disk",
  gather: ({ config }) => {
    const folder = config?.stateDir ?? DEFAULT_FOLDER;
    // Before the first start the folder is not there, but its disk is.
    const nearest = existing(folder);
    const { bavail, bsize } = statfsSync(nearest);
    return { folder, freeBytes: bavail * bsize, writable: isWritable(nearest) };
  },
  judge: (facts) => [judge(facts)],
};
