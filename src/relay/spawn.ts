/** A relay's process, started so that it outlives whoever starts it. What it is told, and when, is start.ts and standby.ts. */
import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import type { Writable } from "node:stream";

import { CodedError } from "../std/errors.ts";
import { programPath } from "../std/program-path.ts";
import { startTicksOf } from "./alive.ts";

const MAIN = programPath(import.meta.url, "./main.ts");
/**
 * MiB for new objects. V8 begins to collect all of a heap when less than these are left of what it allows it, and with
 * its own 16 that is so all the time: 8 times in 1.3 s at a target, with 4 twice.
 */
const NEW_SPACE_MIB = 4;
/**
 * Longer pieces get memory of their own, which goes back when they do, for good: by itself glibc moves this limit up with
 * what is given back, and 11 MiB of a rehearsal would stay in pieces (mallopt(3), M_MMAP_THRESHOLD).
 */
const OWN_MEMORY_BYTES = 256 * 2 ** 10;

export interface Spawned {
  readonly pid: number;
  readonly startTicks: number;
  readonly gone: Promise<void>;
  /** With `listens`. */
  readonly stdin: Writable | null;
}

/** @throws CodedError TOOL_FAILED */
export function spawnRelay(args: readonly string[], logFile: string, listens = false): Spawned {
  const log = openSync(logFile, "a", 0o600);
  const child = spawn(process.execPath, [`--max-semi-space-size=${NEW_SPACE_MIB}`, MAIN, ...args], {
    detached: true,
    env: { ...process.env, MALLOC_MMAP_THRESHOLD_: String(OWN_MEMORY_BYTES) },
    stdio: [listens ? "pipe" : "ignore", log, log],
  });
  closeSync(log);
  const gone = new Promise<void>((resolve) => {
    child.once("exit", () => resolve());
    child.once("error", () => resolve());
  });
  const { pid, stdin } = child;
  // Read at once: the child cannot be collected before this function returns.
  const startTicks = pid === undefined ? undefined : startTicksOf(pid);
  if (pid === undefined || startTicks === undefined) throw relayFailed("it did not start", logFile);
  child.unref();
  return { pid, startTicks, gone, stdin };
}

export function relayFailed(why: string, logFile: string): CodedError {
  let words = "";
  try {
    words = readFileSync(logFile, "utf8").trim().slice(-500);
  } catch {
    // No log, no words.
  }
  return new CodedError("TOOL_FAILED", {
    command: "the relay",
    why: words === "" ? why : `${why}; log: ${words}`,
  });
}
