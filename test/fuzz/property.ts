/** One reader against mutations of its corpus, as a property that fast-check runs, counts and shrinks. */
import * as fc from "fast-check";

import { type CorpusFile, corpus } from "./corpus.ts";
import { type Mutation, mutated, mutations } from "./mutations.ts";
import { outcomeOf, type Reader } from "./reader.ts";
import { streamReaders } from "./stream-readers.ts";
import { wireReaders } from "./wire-readers.ts";

export const readers: readonly Reader[] = [...streamReaders, ...wireReaders];
const files = corpus();

export const corpusOf = (reader: Reader): readonly CorpusFile[] =>
  files.filter((file) => file.reader === reader.name);

export interface Wrong {
  readonly base: string;
  readonly changes: readonly Mutation[];
  readonly other: string;
  readonly sealed: boolean;
}

/** Names instead of bytes, so that what failed reads as what was done. */
export function wrongs(reader: Reader): fc.Arbitrary<Wrong> {
  const names = corpusOf(reader).map(({ name }) => name);
  return fc.record({
    base: fc.constantFrom(...names),
    changes: mutations,
    other: fc.constantFrom(...names),
    sealed: fc.boolean(),
  });
}

export function inputOf(reader: Reader, wrong: Wrong): Uint8Array {
  const bytesOf = (name: string): Uint8Array =>
    corpusOf(reader).find((file) => file.name === name)?.bytes ?? new Uint8Array();
  const input = mutated(bytesOf(wrong.base), wrong.changes, bytesOf(wrong.other));
  return wrong.sealed && reader.seal !== undefined ? reader.seal(input) : input;
}

export const property = (reader: Reader, seen?: (outcome: string) => void) =>
  fc.property(wrongs(reader), (wrong) => {
    const outcome = outcomeOf(reader, inputOf(reader, wrong));
    seen?.(outcome);
  });
