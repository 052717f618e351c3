/** Runs a system tool to its end. Leaves it to the caller to decide whether a failure matters. */
import { execFile } from "node:child_process";

import { CodedError } from "../std/errors.ts";

const TOOL_TIMEOUT_MS = 30_000;
const OUTPUT_MAX_BYTES = 64 << 20;

export interface RunOptions {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  readonly input?: string;
}

/** @returns what it printed. @throws CodedError TOOL_FAILED with the tool's own words. */
export function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(
      command,
      [...args],
      {
        timeout: options.timeoutMs ?? TOOL_TIMEOUT_MS,
        killSignal: "SIGKILL",
        maxBuffer: OUTPUT_MAX_BYTES,
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      },
      (error, stdout, stderr) => {
        if (error === null) {
          resolve(stdout);
          return;
        }
        const why = stderr.trim() === "" ? error.message : stderr.trim();
        reject(
          new CodedError("TOOL_FAILED", { command: [command, ...args].join(" "), why }, { cause: error }),
        );
      },
    );
    // A tool that ends without reading its input is judged by its exit code, not by the broken pipe.
    child.stdin?.on("error", () => undefined);
    child.stdin?.end(options.input ?? "");
  });
}

/** The command that runs `command` inside a namespace, or as it is when there is none. */
export const inside = (netns: string | null, command: readonly string[]): readonly [string, string[]] => {
  const [head = "", ...rest] = command;
  return netns === null ? [head, rest] : ["ip", ["netns", "exec", netns, head, ...rest]];
};
