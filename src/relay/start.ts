/**
 * A relay as a process: started so that it outlives the agent, found again by its handle, asked over its socket, ended
 * for certain. When it runs is the agent's business.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { z } from "zod";

import { startTicksOf } from "./alive.ts";
import { checkConfig, type RelayConfig, type RelayConfigInput, type RelayTarget } from "./config.ts";
import { relayFailed, spawnRelay } from "./spawn.ts";
import type { Standby } from "./standby.ts";
import { relayStatus, type RelayStatus } from "./status.ts";
import type { StatusRequest } from "./status-socket.ts";

/** From spawn to its first answer: 0.2 s on an idle machine, some ms with one that waited. */
const START_TIMEOUT_MS = 20_000;
const START_POLL_MS = 5;
const ANSWER_TIMEOUT_MS = 5_000;
const POLL_MS = 20;
const KILL_TIMEOUT_MS = 5_000;

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;
/** Without what `dir` decides. */
export type StartConfig = DistributiveOmit<RelayConfigInput, "statusSocket" | "resultFile">;

/** JSON; enough to find it again. */
export interface RelayHandle {
  readonly pid: number;
  readonly startTicks: number;
  readonly dir: string;
}

const processHandle = z.object({ pid: z.int().min(2), startTicks: z.number().nonnegative() });

export interface RelayProcess {
  readonly handle: RelayHandle;
  /** The target's. */
  readonly port?: number;
  /** While it runs from itself, afterwards its last words. @throws CodedError TOOL_FAILED when there are none. */
  status(): Promise<RelayStatus>;
  setBandwidth(bytesPerSecond: number | null): Promise<void>;
  /** A source that was started without it learns where its target listens. */
  dial(target: RelayTarget): Promise<void>;
  /** Closes both sockets to QEMU at once, and says why to the other relay. */
  abort(why: string): Promise<void>;
  /** The last status, or undefined when it died without one. Never rejects. */
  readonly exited: Promise<RelayStatus | undefined>;
  /** SIGKILL, wait until gone, remove its sockets. Safe to repeat. */
  kill(): Promise<void>;
}

/** Says which process is whose folder's. */
export const HANDLE_FILE = "relay-handle.json";

const filesOf = (dir: string) =>
  ({
    config: join(dir, "relay-config.json"),
    handle: join(dir, HANDLE_FILE),
    statusSocket: join(dir, "relay.sock"),
    resultFile: join(dir, "relay.json"),
    log: join(dir, "relay.log"),
  }) as const;

/** @throws CodedError USAGE, TOOL_FAILED with its last words. */
export async function startRelay(
  input: StartConfig,
  dir: string,
  { standby, timeoutMs = START_TIMEOUT_MS }: { standby?: Standby | undefined; timeoutMs?: number } = {},
): Promise<RelayProcess> {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const files = filesOf(dir);
  const { statusSocket, resultFile } = files;
  const config: RelayConfig = checkConfig({ ...input, statusSocket, resultFile });
  for (const file of [statusSocket, resultFile, files.handle]) rmSync(file, { force: true });
  writeFileSync(files.config, JSON.stringify(config), { mode: 0o600 });
  const waiting = standby?.take();
  const { pid, startTicks, gone } = waiting ?? spawnRelay([files.config], files.log);
  const handle: RelayHandle = { pid, startTicks, dir };
  writeFileSync(files.handle, JSON.stringify(handle), { mode: 0o600 });
  // Not before it can be found again.
  waiting?.begin(files.config, files.log);
  const relay = new Running(handle, gone);
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const status = await relay.status().catch(() => undefined);
    if (status !== undefined && (config.side === "source" || status.port !== null || status.error !== null)) {
      relay.port = status.port ?? undefined;
      return relay as RelayProcess;
    }
    if (startTicksOf(pid) !== startTicks) throw relayFailed("it ended", files.log);
    if (performance.now() > deadline) {
      await relay.kill();
      throw relayFailed(`it did not answer within ${timeoutMs} ms`, files.log);
    }
    await delay(START_POLL_MS);
  }
}

/** The relay of this handle; undefined when it is gone, and then its status is in its folder: `lastStatus`. */
export async function adoptRelay(handle: RelayHandle): Promise<RelayProcess | undefined> {
  if (startTicksOf(handle.pid) !== handle.startTicks) return undefined;
  const relay = new Running(handle, undefined);
  const status = await relay.status().catch(() => undefined);
  relay.port = status?.port ?? undefined;
  return relay as RelayProcess;
}

/** The handle of the relay that was started in this folder, also when nobody recorded it elsewhere. */
export function handleIn(dir: string): RelayHandle | undefined {
  try {
    const { pid, startTicks } = processHandle.parse(JSON.parse(readFileSync(filesOf(dir).handle, "utf8")));
    return { pid, startTicks, dir };
  } catch {
    return undefined;
  }
}

/** What the relay of this folder left behind. */
export function lastStatus(dir: string): RelayStatus | undefined {
  try {
    return relayStatus.parse(JSON.parse(readFileSync(filesOf(dir).resultFile, "utf8")));
  } catch {
    return undefined;
  }
}

class Running {
  readonly handle: RelayHandle;
  readonly exited: Promise<RelayStatus | undefined>;
  port: number | undefined;

  constructor(handle: RelayHandle, gone: Promise<void> | undefined) {
    this.handle = handle;
    this.exited = (gone ?? goneStranger(handle)).then(() => lastStatus(handle.dir));
  }

  async status(): Promise<RelayStatus> {
    const live = await this.#ask({ do: "status" }).catch(() => undefined);
    const status = live ?? lastStatus(this.handle.dir);
    if (status === undefined)
      throw relayFailed("it does not answer and left no result", filesOf(this.handle.dir).log);
    return status;
  }

  async setBandwidth(bytesPerSecond: number | null): Promise<void> {
    await this.#ask({ do: "set-bandwidth", bytesPerSecond });
  }

  async dial(target: RelayTarget): Promise<void> {
    await this.#ask({ do: "dial", target });
  }

  async abort(why: string): Promise<void> {
    await this.#ask({ do: "abort", why });
  }

  async kill(): Promise<void> {
    const { pid, startTicks, dir } = this.handle;
    const deadline = performance.now() + KILL_TIMEOUT_MS;
    while (startTicksOf(pid) === startTicks) {
      if (performance.now() > deadline) throw relayFailed(`process ${pid} did not end`, filesOf(dir).log);
      try {
        process.kill(pid, "SIGKILL");
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
      }
      await delay(POLL_MS);
    }
    rmSync(filesOf(dir).statusSocket, { force: true });
  }

  #ask(asked: StatusRequest): Promise<RelayStatus> {
    return new Promise((resolve, reject) => {
      const socket = connect(filesOf(this.handle.dir).statusSocket);
      const fail = (error: Error): void => {
        socket.destroy();
        reject(error);
      };
      socket.setTimeout(ANSWER_TIMEOUT_MS, () => fail(new Error("no answer")));
      socket.on("error", fail);
      socket.on("close", () => fail(new Error("closed without an answer")));
      let text = "";
      socket.setEncoding("utf8").on("data", (part: string) => {
        text += part;
        if (!text.endsWith("\n")) return;
        const parsed = relayStatus.safeParse(parsedJson(text));
        if (parsed.success) resolve(parsed.data);
        else fail(new Error(text));
        socket.destroy();
      });
      socket.write(`${JSON.stringify(asked)}\n`);
    });
  }
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

async function goneStranger({ pid, startTicks }: RelayHandle): Promise<void> {
  while (startTicksOf(pid) === startTicks) await delay(POLL_MS, undefined, { ref: false });
}
