/** A folder that holds what nobody else may read, or put there. */
import { lstatSync, mkdirSync } from "node:fs";

const OTHERS = 0o077;

/** Made if it is not there. @throws when it is not the agent's user's alone. */
export function ownFolder(dir: string): void {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const { mode, uid } = lstatSync(dir);
  if ((mode & OTHERS) !== 0 || uid !== process.getuid?.())
    throw new Error(`${dir} must belong to the agent's user alone (mode 0700)`);
}
