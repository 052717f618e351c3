/**
 * Where a program of ours lies that is started by path, not imported. The compiler rewrites the names in imports; a
 * name handed to spawn is rewritten here, so that the same line works from the sources and from the package.
 */
import { fileURLToPath } from "node:url";

/** `from` is the caller's `import.meta.url`; `name` is the program's source file relative to it. */
export const programPath = (from: string, name: `./${string}.ts` | `../${string}.ts`): string =>
  fileURLToPath(new URL(from.endsWith(".ts") ? name : name.replace(/\.ts$/, ".js"), from));
