/** A folder that holds what nobody else may read, or put there: made, and kept small. */
import { lstatSync, mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";

const OTHERS = 0o077;
/** What relay/kept-file.ts writes to before it renames it. */
const UNFINISHED = ".new";
/** Writing one takes a fraction of a second. */
const UNFINISHED_MS_MAX = 60_000;

/** Made if it is not there. @throws when it is not the agent's user's alone. */
export function ownFolder(dir: string): void {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const { mode, uid } = lstatSync(dir);
  if ((mode & OTHERS) !== 0 || uid !== process.getuid?.())
    throw new Error(`${dir} must belong to the agent's user alone (mode 0700)`);
}

/** Of the files with this ending leaves the newest, `count` with `next` among them whether it is there yet or not. */
export function keepNewest(dir: string, suffix: string, next: string, count: number): void {
  const names = readdirSync(dir);
  const writtenMs = (name: string): number =>
    statSync(join(dir, name), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const others = names
    .filter((name) => name.endsWith(suffix) && name !== next)
    .sort((one, other) => writtenMs(other) - writtenMs(one));
  const abandoned = names.filter(
    (name) => name.endsWith(UNFINISHED) && writtenMs(name) < Date.now() - UNFINISHED_MS_MAX,
  );
  for (const name of [...others.slice(count - 1), ...abandoned]) rmSync(join(dir, name), { force: true });
}
