/** A short slice of scripts/fuzz.ts: what outside bytes may do to a reader is be taken or refused. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { corpusOf, property, readers } from "./fuzz/property.ts";
import { outcomeOf } from "./fuzz/reader.ts";

const RUNS = 200;
/** The next ones begin where this one ends. */
const SEED = 20_261_122;

describe.each(readers.map((reader) => [reader.name, reader] as const))("%s", (_name, reader) => {
  test.each(corpusOf(reader).map((file) => [file.name, file.bytes] as const))(
    "takes %s, or refuses what once failed",
    (name, bytes) => {
      const outcome = outcomeOf(reader, bytes);
      if (!name.startsWith("failed-")) expect(outcome).toBe("");
    },
  );

  test("takes or refuses what mutations make of them", () => {
    const outcomes = new Set<string>();
    fc.assert(
      property(reader, (outcome) => outcomes.add(outcome)),
      { numRuns: RUNS, seed: SEED },
    );
    // Mutations that are all refused, or all taken, would prove little.
    if (reader.codes.length > 0) expect(outcomes.size).toBeGreaterThan(1);
  });
});
