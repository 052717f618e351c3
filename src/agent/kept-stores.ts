/**
 * Where the relays' page stores lie between migrations: one file per peer, in a folder of the agent's own. Decides which
 * file a migration's relay gets and which of them go; what is in them is the relay's.
 *
 * They hold guest memory. So by default they lie beside the agent's socket, in /run, which is memory and no disk; and a
 * folder that others may look into is not used.
 */
import { dirname, join } from "node:path";

import type { AgentConfig } from "./config.ts";
import { keepNewest, newestIn, ownFolder } from "./own-folder.ts";

const FOLDER = "stores";
const SUFFIX = ".store";

export const keptStoresDir = ({ keptStores, socket }: AgentConfig): string | undefined =>
  keptStores === false ? undefined : (keptStores.dir ?? join(dirname(socket), FOLDER));

/** The one that was kept last, of whichever peer. */
export function newestKept(config: AgentConfig): string | undefined {
  const dir = keptStoresDir(config);
  return dir === undefined ? undefined : newestIn(dir, SUFFIX);
}

/**
 * The file for migrations with this peer, after room was made for it; undefined when nothing is to be kept. Never throws:
 * `failed` is told, and the migration goes without.
 */
export function keptStoreFile(
  config: AgentConfig,
  peer: string,
  failed: (why: string) => void,
): string | undefined {
  const dir = keptStoresDir(config);
  if (dir === undefined || config.keptStores === false) return undefined;
  try {
    ownFolder(dir);
    const file = `${peer}${SUFFIX}`;
    keepNewest(dir, SUFFIX, file, config.keptStores.count);
    return join(dir, file);
  } catch (error) {
    failed((error as Error).message);
    return undefined;
  }
}
