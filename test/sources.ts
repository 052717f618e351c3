/** The project's own TypeScript files, and which file names which; for the tests that look at the sources. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";

export const ROOT = join(import.meta.dirname, "..");

export interface SourceFile {
  /** From the project's root, as in "src/std/errors.ts". */
  readonly path: string;
  readonly text: string;
  readonly isTest: boolean;
}

export const sourceFiles = (folder: string): readonly SourceFile[] =>
  readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(tsx?|mjs)$/.test(entry.name))
    .map((entry) => {
      const file = join(entry.parentPath, entry.name);
      return {
        path: relative(ROOT, file),
        text: readFileSync(file, "utf8"),
        isTest: entry.name.endsWith(".test.ts"),
      };
    })
    .sort((a, b) => a.path.localeCompare(b.path));

const resolved = (file: SourceFile, name: string): string => normalize(join(dirname(file.path), name));

/** Files named by relative path anywhere in a file: imports of every kind, and programs started by path. */
export const mentions = (file: SourceFile): readonly string[] =>
  [...file.text.matchAll(/["'`](\.{1,2}\/[^"'`\n]+\.(?:tsx?|mjs))["'`]/g)].flatMap(([, name]) =>
    name === undefined ? [] : [resolved(file, name)],
  );

/** Files imported: statically, when needed, or only for their types. */
export const imports = (file: SourceFile): readonly string[] =>
  [...file.text.matchAll(/(?:\bfrom\s+|\bimport\(\s*|^import\s+)"(\.{1,2}\/[^"]+)"/gm)].flatMap(([, name]) =>
    name === undefined ? [] : [resolved(file, name)],
  );

/** Files needed to load a file: static imports that are not only types. */
export const loads = (file: SourceFile): readonly string[] =>
  [...file.text.matchAll(/^(?:import|export)\s+(?!type\b)(?:[^;"]*?\sfrom\s+)?"(\.{1,2}\/[^"]+)"/gm)].flatMap(
    ([, name]) => (name === undefined ? [] : [resolved(file, name)]),
  );

/** Everything imported that is not of this project. */
export const foreign = (file: SourceFile): readonly string[] =>
  [...file.text.matchAll(/(?:from\s+|import\(\s*|import\s+)"([^."][^"]*)"/g)].flatMap(
    ([, name]) => name ?? [],
  );
