/** The links of the comparison: one table; any other rate with its unit is a link too. */
import { CodedError } from "../../std/errors.ts";
import { parseRate } from "../../std/units.ts";

export interface Link {
  readonly name: string;
  /** Null: not shaped; what then limits is this machine's memory and processors. */
  readonly bytesPerSecond: number | null;
}

const UNSHAPED = "unshaped";

export const linkNames: readonly string[] = ["100Mbit/s", "1Gbit/s", UNSHAPED];

/** @throws CodedError USAGE when a name is no rate either. */
export const linksFor = (names: readonly string[]): readonly Link[] =>
  names.map((name) => {
    if (name === UNSHAPED) return { name, bytesPerSecond: null };
    try {
      return { name, bytesPerSecond: parseRate(name) };
    } catch (cause) {
      const problem = `There is no link "${name}". There are: ${linkNames.join(", ")}, and any rate like 200Mbit/s.`;
      throw new CodedError("USAGE", { problem }, { cause });
    }
  });
