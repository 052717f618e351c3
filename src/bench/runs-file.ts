/** The raw data of a campaign: runs as JSON lines in a folder, appended as they end, and read back for the figures. */
import { appendFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import type { z } from "zod";

import { CodedError } from "../std/errors.ts";

const FILE = "runs.jsonl";

export const hasRuns = (folder: string): boolean => existsSync(join(folder, FILE));

export function appendRun(folder: string, run: object): void {
  mkdirSync(folder, { recursive: true });
  appendFileSync(join(folder, FILE), `${JSON.stringify(run)}\n`);
}

/** @throws CodedError USAGE when there is no such file, or a line of it is not a run. */
export function readRuns<Run>(folder: string, shape: z.ZodType<Run>): readonly Run[] {
  const file = join(folder, FILE);
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new CodedError(
      "USAGE",
      { problem: `${file} cannot be read: no campaign wrote there.` },
      { cause: error },
    );
  }
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line, index) => {
      try {
        return shape.parse(JSON.parse(line));
      } catch (error) {
        throw new CodedError(
          "USAGE",
          { problem: `${file}, line ${index + 1}, is not a run.` },
          { cause: error },
        );
      }
    });
}
