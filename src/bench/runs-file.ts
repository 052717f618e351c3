/** The raw data of a campaign: runs as JSON lines in a folder, appended as they end, and read back for the figures. */
import { appendFileSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { CodedError } from "../std/errors.ts";
import { type RunRecord, runRecord } from "./document.ts";

const FILE = "runs.jsonl";

export function appendRun(folder: string, run: RunRecord): void {
  mkdirSync(folder, { recursive: true });
  appendFileSync(join(folder, FILE), `${JSON.stringify(run)}\n`);
}

/** @throws CodedError USAGE when there is no such file, or a line of it is not a run. */
export function readRuns(folder: string): readonly RunRecord[] {
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
        return runRecord.parse(JSON.parse(line));
      } catch (error) {
        throw new CodedError(
          "USAGE",
          { problem: `${file}, line ${index + 1}, is not a run.` },
          { cause: error },
        );
      }
    });
}
