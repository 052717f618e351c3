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

/** Of the files with this ending the one written last; undefined: there is none. Never throws. */
export function newestIn(dir: string, suffix: string): string | undefined {
  try {
    const names = readdirSync(dir).filter((name) => name.endsWith(suffix));
    return names
      .map((name) => join(dir, name))
      .toSorted((one, other) => writtenMs(other) - writtenMs(one))[0];
  } catch {
    return undefined;
  }
}

const writtenMs = (file: string): number => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;

/** Of the files with this ending leaves the newest, `count` with `next` among them whether it is there yet or not. */
export function keepNewest(dir: string, suffix: string, next: string, count: number): void {
  const names = readdirSync(dir);
  const ageOf = (name: string): number => Date.now() - writtenMs(join(dir, name));
  const others = names
    .filter((name) => name.endsWith(suffix) && name !== next)
    .toSorted((one, other) => ageOf(one) - ageOf(other));
  const abandoned = names.filter((name) => name.endsWith(UNFINISHED) && ageOf(name) > UNFINISHED_MS_MAX);
  for (const name of [...others.slice(count - 1), ...abandoned]) rmSync(join(dir, name), { force: true });
}
