/** The files that a migration's relay may begin with, by the same rule at both hosts (relay/kept-store.ts). */
import type { MachineSpec } from "../api/machine.ts";
import { bootStoreFile, newestBoot } from "./boot-stores.ts";
import type { AgentConfig } from "./config.ts";
import { keptStoreFile, newestKept } from "./kept-stores.ts";
import type { Log } from "./log.ts";

export interface StoreFiles {
  readonly storeFile?: string;
  readonly bootFile?: string;
}

/** What the next migration will most likely begin with, whichever it is. */
export const likelyStore = (config: AgentConfig): string | undefined =>
  newestKept(config) ?? newestBoot(config);

/** Never rejects: what cannot be had is left out. */
export async function storeFiles({
  config,
  log,
  peer,
  machine,
}: {
  readonly config: AgentConfig;
  readonly log: Log;
  readonly peer: string;
  readonly machine: MachineSpec;
}): Promise<StoreFiles> {
  const storeFile = keptStoreFile(config, peer, (why) => log.warn({ peer, why }, "no page store is kept"));
  const bootFile = await bootStoreFile(config, machine);
  return {
    ...(storeFile === undefined ? {} : { storeFile }),
    ...(bootFile === undefined ? {} : { bootFile }),
  };
}
