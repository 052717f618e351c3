/** What the flags of every bench mean: names with commas between, whole numbers in a range, a seed. */
import { CodedError } from "../std/errors.ts";

const SEED_MAX = 2 ** 32 - 1;
const RUNS_MAX = 1000;

export const named = (text: string | undefined, all: readonly string[]): readonly string[] =>
  text === undefined ? all : [...new Set(text.split(",").map((name) => name.trim()))];

export function whole(flag: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= min && value <= max) return value;
  throw new CodedError("USAGE", { problem: `${flag} ${text}: a whole number from ${min} to ${max}.` });
}

export const runsFlag = (text: string): number => whole("--runs", text, 1, RUNS_MAX);

export const seedFlag = (text: string | undefined): number =>
  text === undefined ? Math.floor(Math.random() * SEED_MAX) : whole("--seed", text, 0, SEED_MAX);

export const interrupted = (folder: string): CodedError =>
  new CodedError("USAGE", {
    problem: "Interrupted.",
    next: `The lab is gone; the runs that ended are in ${folder}.`,
  });
