/**
 * Processes that outlive the command that started them, told apart from strangers that got the same pid: a handle is
 * a pid with its start time. Nothing is ever ended by name.
 */
import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { z } from "zod";

import { CodedError } from "../std/errors.ts";
import { inside, run } from "./run.ts";

export const processHandle = z.object({ pid: z.int().min(2), startTicks: z.number().nonnegative() });
export type ProcessHandle = z.infer<typeof processHandle>;

const POLL_MS = 20;
/** SIGKILL is not refused; what remains longer hangs in the kernel and is reported. */
const KILL_DEADLINE_MS = 10_000;

/** Start time in clock ticks since boot, or null when no such process runs (a zombie has ended). */
export function startTicksOf(pid: number): number | null {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    return null;
  }
  // The command's name may hold spaces and brackets; fields are counted from its last bracket (proc(5)).
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return fields[0] === "Z" || fields[0] === "X" ? null : Number(fields[19]);
}

export const isAlive = (handle: ProcessHandle): boolean => startTicksOf(handle.pid) === handle.startTicks;

export interface StartOptions {
  readonly netns: string | null;
  readonly command: readonly string[];
  readonly log: string;
  /** Written before this returns, so that a crash right after leaves a trace. */
  readonly handleFile?: string;
  /** -20 to 19; needs root below 0. */
  readonly nice?: number;
  /** Open files it inherits, from 3 on. */
  readonly files?: readonly number[];
}

/** Starts a process of its own session, its output appended to a log. */
export function startDetached(options: StartOptions): ProcessHandle {
  const niced =
    options.nice === undefined ? options.command : ["nice", "-n", String(options.nice), ...options.command];
  const [command, args] = inside(options.netns, niced);
  const log = openSync(options.log, "a");
  try {
    const child = spawn(command, args, {
      detached: true,
      stdio: ["ignore", log, log, ...(options.files ?? [])],
      cwd: "/",
    });
    child.on("error", () => undefined);
    child.unref();
    const { pid } = child;
    const startTicks = pid === undefined ? null : startTicksOf(pid);
    if (pid === undefined || startTicks === null) {
      throw new CodedError("TOOL_FAILED", { command: options.command.join(" "), why: "it did not start" });
    }
    const handle = { pid, startTicks };
    if (options.handleFile !== undefined) writeFileSync(options.handleFile, JSON.stringify(handle));
    return handle;
  } finally {
    closeSync(log);
  }
}

export function readHandle(file: string): ProcessHandle | null {
  try {
    const parsed = processHandle.safeParse(JSON.parse(readFileSync(file, "utf8")));
    return parsed.success ? parsed.data : null;
  } catch {
    return null;
  }
}

/** Sends a signal to those that still are who they were. */
export function signalAll(handles: readonly ProcessHandle[], signal: NodeJS.Signals): void {
  for (const handle of handles) {
    if (!isAlive(handle)) continue;
    try {
      process.kill(handle.pid, signal);
    } catch {
      // It ended between the look and the signal.
    }
  }
}

/** SIGKILL, and wait until gone. @returns how many were alive. */
export async function killAll(handles: readonly ProcessHandle[]): Promise<number> {
  const alive = handles.filter(isAlive);
  signalAll(alive, "SIGKILL");
  await waitGone(alive, KILL_DEADLINE_MS);
  return alive.length;
}

export async function waitGone(handles: readonly ProcessHandle[], deadlineMs: number): Promise<void> {
  const deadline = performance.now() + deadlineMs;
  while (handles.some(isAlive)) {
    if (performance.now() > deadline) {
      const pids = handles.filter(isAlive).map((handle) => handle.pid);
      throw new CodedError("TOOL_FAILED", { command: `end of ${pids.join(", ")}`, why: "still running" });
    }
    await delay(POLL_MS);
  }
}

/** Everything that runs in a namespace. Membership is what makes it the lab's. */
export async function processesIn(netns: string): Promise<ProcessHandle[]> {
  const text = await run("ip", ["netns", "pids", netns]);
  return text
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map(Number)
    .flatMap((pid) => {
      const startTicks = startTicksOf(pid);
      return startTicks === null ? [] : [{ pid, startTicks }];
    });
}
