/**
 * Where the relays' page stores lie between migrations: one file per peer, in a folder of the agent's own. Decides which
 * file a migration's relay gets and which of them go; what is in them is the relay's.
 *
 * They hold guest memory. So by default they lie beside the agent's socket, in /run, which is memory and no disk; and a
 * folder that others may look into is not used.
 */
import { readdirSync, rmSync, statSync } from "node:fs";
import { dirname, join } from "node:path";

import type { AgentConfig } from "./config.ts";
import { ownFolder } from "./own-folder.ts";

const FOLDER = "stores";
const SUFFIX = ".store";
const UNFINISHED = ".new";
/** Writing one takes a fraction of a second. */
const UNFINISHED_MS_MAX = 60_000;

export const keptStoresDir = ({ keptStores, socket }: AgentConfig): string | undefined =>
  keptStores === false ? undefined : (keptStores.dir ?? join(dirname(socket), FOLDER));

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
    tidy(dir, file, config.keptStores.count);
    return join(dir, file);
  } catch (error) {
    failed((error as Error).message);
    return undefined;
  }
}

/** Leaves the newest ones, `next` among them whether it is there yet or not. */
function tidy(dir: string, next: string, count: number): void {
  const names = readdirSync(dir);
  const writtenMs = (name: string): number =>
    statSync(join(dir, name), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const others = names
    .filter((name) => name.endsWith(SUFFIX) && name !== next)
    .sort((one, other) => writtenMs(other) - writtenMs(one));
  const abandoned = names.filter(
    (name) => name.endsWith(UNFINISHED) && writtenMs(name) < Date.now() - UNFINISHED_MS_MAX,
  );
  for (const name of [...others.slice(count - 1), ...abandoned]) rmSync(join(dir, name), { force: true });
}
