/** The lines of a table that were asked for by name. */
import { CodedError } from "../std/errors.ts";

/** In the order of the names. @throws CodedError USAGE naming those there are. */
export function pick<T>(
  what: string,
  table: Readonly<Record<string, T>>,
  names: readonly string[],
): readonly (readonly [string, T])[] {
  return names.map((name) => {
    const line = Object.hasOwn(table, name) ? table[name] : undefined;
    if (line === undefined) {
      throw new CodedError("USAGE", {
        problem: `There is no ${what} "${name}". There are: ${Object.keys(table).join(", ")}.`,
      });
    }
    return [name, line];
  });
}
