/** What the relays of a lab's hosts keep from one migration to the next: waited for, and forgotten. */
import { existsSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { CodedError } from "../std/errors.ts";
import type { LabHost, LabState } from "./state.ts";

const MEMORY = "/dev/shm";
const POLL_MS = 20;
/** A relay that carried everything writes its store within a second or two, and ends. */
const DEADLINE_MS = 20_000;

/**
 * Of all hosts of a lab. In memory, where /run is on real hosts: on a disk 96 MiB that nobody waits for would lie in front of
 * the next journal entry, and a pause waits for that.
 */
export const keptStoresFolder = (id: string): string =>
  join(existsSync(MEMORY) ? MEMORY : tmpdir(), `gw-${id}`);
export const keptStoresDir = ({ id }: Pick<LabState, "id">, { name }: Pick<LabHost, "name">): string =>
  join(keptStoresFolder(id), name);

/** Settles when no relay runs any more, and all that is going to be kept has been. */
export async function relaysEnded(lab: LabState, signal?: AbortSignal): Promise<void> {
  const deadline = performance.now() + DEADLINE_MS;
  for (const host of lab.hosts) {
    while (namesIn(join(host.stateDir, "relays")).length > 0) {
      if (performance.now() > deadline) {
        throw new CodedError("TOOL_FAILED", {
          command: `a relay of host ${host.name}`,
          why: "it does not end",
        });
      }
      await sleep(POLL_MS, undefined, signal === undefined ? {} : { signal });
    }
  }
}

/** Whether each host has kept something. */
export const haveKept = (lab: LabState): boolean =>
  lab.hosts.every((host) => namesIn(keptStoresDir(lab, host)).some((name) => name.endsWith(".store")));

/** From here on the next migration by relay begins with nothing known. */
export async function forgetKept(lab: LabState, signal?: AbortSignal): Promise<void> {
  await relaysEnded(lab, signal);
  for (const host of lab.hosts) {
    const dir = keptStoresDir(lab, host);
    for (const name of namesIn(dir)) rmSync(join(dir, name), { force: true });
  }
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // nobody needed it yet
  }
}
