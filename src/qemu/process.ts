/**
 * A VM's QEMU as a process: started so that it outlives the agent, found again by its handle, ended for certain.
 * What it runs is args.ts's business, when it runs the agent's.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { readFile, rm } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";

import { connectQmp } from "../qmp/client.ts";
import type { Qmp } from "../qmp/types.ts";
import { CodedError } from "../std/errors.ts";
import { checkedSocketPath, qemuArgs, vmFiles } from "./args.ts";
import { launch, logTail } from "./launch.ts";
import { liveStat } from "./proc.ts";
import { createTaps, removeTaps } from "./taps.ts";
import type { QemuHandle, QemuProcess, StartOptions } from "./types.ts";

/** Only init can be told of the end of a process that is not one's child; we look. */
const GONE_POLL_MS = 20;
/** SIGKILL takes effect at once unless the process hangs in the kernel (dead NFS, broken device). */
const KILL_TIMEOUT_MS = 10_000;

export interface WaitOptions {
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
}

/** @throws CodedError QEMU_MISSING, QEMU_EXITED, VM_EXISTS, NEEDS_ROOT, TOOL_FAILED, USAGE (socket path too long). */
export async function startQemu(options: StartOptions, wait: WaitOptions = {}): Promise<QemuProcess> {
  const { dir, machine } = options;
  const files = vmFiles(dir);
  checkedSocketPath(files.consoleSocket); // the longest
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const earlier = await findHandle(dir);
  if (earlier !== undefined && liveStat(earlier) !== undefined) {
    throw new CodedError("VM_EXISTS", { vm: machine.metadata.name, host: `(pid ${earlier.pid})` });
  }
  const taps = await createTaps(machine, dir);
  let handle: QemuHandle | undefined;
  try {
    await rm(files.consoleSocket, { force: true });
    const launched = await launch({
      ...wait,
      binary: options.binary,
      args: qemuArgs({ ...options, taps }),
      vm: machine.metadata.name,
      qmpSocket: files.qmpSocket,
      log: files.qemuLog,
      onSpawn: ({ pid, startTicks }) => {
        handle = { pid, startTicks, dir, taps };
        writeFileSync(files.handle, JSON.stringify(handle), { mode: 0o600 });
      },
    });
    launched.release();
    handle ??= { pid: launched.pid, startTicks: launched.startTicks, dir, taps };
    return new RunningQemu(handle, launched.qmp, launched.ended);
  } catch (error) {
    await removeLeftovers(handle ?? { pid: 0, startTicks: 0, dir, taps });
    throw error;
  }
}

/**
 * The QEMU of this handle with a new monitor connection. When it is gone: undefined, and its taps and sockets are
 * removed. @throws CodedError QMP_LOST or QMP_TIMEOUT when it lives but its monitor cannot be reached: it serves one
 * connection at a time.
 */
export async function adoptQemu(
  handle: QemuHandle,
  wait: WaitOptions = {},
): Promise<QemuProcess | undefined> {
  if (liveStat(handle) !== undefined) {
    try {
      const qmp = await connectQmp(vmFiles(handle.dir).qmpSocket, wait);
      return new RunningQemu(handle, qmp, gone(handle, qmp));
    } catch (error) {
      if (liveStat(handle) !== undefined) throw error;
    }
  }
  await removeLeftovers(handle);
  return undefined;
}

/** The handle of the QEMU last started in this folder, for an agent that died before it wrote its own. */
export async function findHandle(dir: string): Promise<QemuHandle | undefined> {
  try {
    const value: unknown = JSON.parse(await readFile(vmFiles(dir).handle, "utf8"));
    return isHandle(value) && value.dir === dir ? value : undefined;
  } catch {
    return undefined;
  }
}

function isHandle(value: unknown): value is QemuHandle {
  const handle = value as Partial<Record<keyof QemuHandle, unknown>> | null;
  return (
    typeof handle === "object" &&
    handle !== null &&
    Number.isSafeInteger(handle.pid) &&
    Number.isSafeInteger(handle.startTicks) &&
    typeof handle.dir === "string" &&
    Array.isArray(handle.taps) &&
    handle.taps.every((tap) => typeof tap === "string")
  );
}

class RunningQemu implements QemuProcess {
  readonly handle: QemuHandle;
  readonly qmp: Qmp;
  readonly exited: Promise<string>;
  #cpuSeconds = 0;

  constructor(handle: QemuHandle, qmp: Qmp, ended: Promise<string>) {
    this.handle = handle;
    this.qmp = qmp;
    this.exited = ended.then(async (how) => `${how}; log: ${await logTail(vmFiles(handle.dir).qemuLog)}`);
  }

  async kill(): Promise<void> {
    const deadline = performance.now() + KILL_TIMEOUT_MS;
    while (liveStat(this.handle) !== undefined) {
      this.cpuSeconds(); // the last reading stays available
      if (performance.now() > deadline) {
        const why = `process ${this.handle.pid} did not end within ${KILL_TIMEOUT_MS} ms`;
        throw new CodedError("TOOL_FAILED", { command: "SIGKILL", why });
      }
      sendKill(this.handle.pid);
      await delay(GONE_POLL_MS);
    }
    await this.qmp[Symbol.asyncDispose]();
    await removeLeftovers(this.handle);
  }

  cpuSeconds(): number {
    this.#cpuSeconds = liveStat(this.handle)?.cpuSeconds ?? this.#cpuSeconds;
    return this.#cpuSeconds;
  }
}

function sendKill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** The end of a process that is not our child: its monitor closes first, /proc has the last word. */
async function gone(handle: QemuHandle, qmp: Qmp): Promise<string> {
  await qmp.closed;
  while (liveStat(handle) !== undefined) await delay(GONE_POLL_MS, undefined, { ref: false });
  return "it ended; how is unknown, since another agent had started it";
}

async function removeLeftovers(handle: QemuHandle): Promise<void> {
  const files = vmFiles(handle.dir);
  for (const path of [files.qmpSocket, files.consoleSocket, files.handle]) await rm(path, { force: true });
  await removeTaps(handle.taps);
}
