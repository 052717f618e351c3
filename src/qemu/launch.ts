/**
 * Spawning a QEMU that outlives the agent and reaching its monitor: for VMs (process.ts) and for the probe.
 * The caller decides the arguments and what to do with the process afterwards.
 */
import { spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { open, rm } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";

import { connectQmp } from "../qmp/client.ts";
import type { Qmp } from "../qmp/types.ts";
import { CodedError } from "../std/errors.ts";
import { readStat } from "./proc.ts";

/** From spawn to the monitor's greeting. Measured 0.1 s idle; a busy host with a large guest needs longer. */
export const START_TIMEOUT_MS = 60_000;
const RETRY_MS = 10;
const LOG_TAIL_BYTES = 2_000;

export interface LaunchOptions {
  readonly binary: string;
  readonly args: readonly string[];
  readonly vm: string;
  readonly qmpSocket: string;
  readonly log: string;
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
  /** Called in the same tick as the spawn, so that a handle can be written before anything else happens. */
  readonly onSpawn?: (process: { readonly pid: number; readonly startTicks: number }) => void;
}

export interface Launched {
  readonly pid: number;
  readonly startTicks: number;
  readonly qmp: Qmp;
  /** How it ended, in words, without its log. Never rejects. */
  readonly ended: Promise<string>;
  /** From now on this program may end while the process lives. */
  release(): void;
}

/** @throws CodedError QEMU_MISSING, QEMU_EXITED with its last words, QMP_TIMEOUT; or the signal's reason. */
export async function launch(options: LaunchOptions): Promise<Launched> {
  options.signal?.throwIfAborted();
  await rm(options.qmpSocket, { force: true }); // a dead QEMU's socket would be taken for the new one's
  const child = spawnDetached(options);
  const spawned = Promise.withResolvers<void>();
  const ended = new Promise<string>((resolve) => {
    child.once("error", (error) => {
      spawned.reject(new CodedError("QEMU_MISSING", { binary: options.binary }, { cause: error }));
      resolve(error.message);
    });
    child.once("exit", (code, signal) => resolve(signal === null ? `exit code ${code}` : `signal ${signal}`));
  });
  child.once("spawn", () => spawned.resolve());
  const { pid } = child;
  // Read at once: the child cannot be collected before this function yields.
  const startTicks = pid === undefined ? undefined : readStat(pid)?.startTicks;
  try {
    if (pid !== undefined && startTicks !== undefined) options.onSpawn?.({ pid, startTicks });
  } catch (error) {
    child.kill("SIGKILL"); // not recorded (a full disk): nobody would find it again
    throw error;
  }
  await spawned.promise;
  if (pid === undefined || startTicks === undefined) throw await exitedError(options, ended);
  try {
    const qmp = await reachMonitor(options, ended);
    return { pid, startTicks, qmp, ended, release: () => child.unref() };
  } catch (error) {
    child.kill("SIGKILL");
    await ended;
    throw error;
  }
}

function spawnDetached({ binary, args, log }: LaunchOptions): ReturnType<typeof spawn> {
  const output = openSync(log, "a", 0o600);
  try {
    return spawn(binary, [...args], { detached: true, stdio: ["ignore", output, output] });
  } finally {
    closeSync(output);
  }
}

async function reachMonitor(options: LaunchOptions, ended: Promise<string>): Promise<Qmp> {
  const { qmpSocket, signal } = options;
  const timeoutMs = options.timeoutMs ?? START_TIMEOUT_MS;
  const deadline = performance.now() + timeoutMs;
  let gone = false;
  void ended.then(() => (gone = true));
  for (;;) {
    const leftMs = deadline - performance.now();
    if (leftMs <= 0) throw new CodedError("QMP_TIMEOUT", { command: "start", timeoutMs });
    try {
      return await connectQmp(qmpSocket, { timeoutMs: leftMs, ...(signal === undefined ? {} : { signal }) });
    } catch (error) {
      // Until QEMU listens there is no socket, or one that refuses; a QEMU that gives up closes it.
      if (!(error instanceof CodedError) || error.code !== "QMP_LOST") throw error;
    }
    if (gone) throw await exitedError(options, ended);
    await Promise.race([delay(RETRY_MS), ended]);
  }
}

async function exitedError({ vm, log }: LaunchOptions, ended: Promise<string>): Promise<CodedError> {
  return new CodedError("QEMU_EXITED", { vm, how: await ended, log: await logTail(log) });
}

/** The last lines of a log, for people. Never rejects: it explains other failures. */
export async function logTail(path: string): Promise<string> {
  try {
    await using file = await open(path);
    const { size } = await file.stat();
    const from = Math.max(0, size - LOG_TAIL_BYTES);
    const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(LOG_TAIL_BYTES), position: from });
    const text = buffer.toString("utf8", 0, bytesRead).trim();
    return text === "" ? "(nothing)" : text;
  } catch {
    return "(no log)";
  }
}
