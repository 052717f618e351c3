/** Puts delay on the migration network: the kernel's netem where it exists, else our own program, delay.c. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { CodedError } from "../std/errors.ts";
import { type ProcessHandle, isAlive, startDetached } from "./processes.ts";
import { run } from "./run.ts";

const READY_DEADLINE_MS = 5000;
const POLL_MS = 10;
/** Delayed frames are held by our program; at 10 Gbit/s and 50 ms this is what is under way. */
const QUEUE_MAX_BYTES = 64 << 20;
/** Above the guests' QEMUs, below the prober: a late forwarder is a longer delay than the one asked for. */
const NICE = -12;
/** netem counts packets; never the limit in practice, the shaper behind it is. */
export const NETEM_LIMIT_PACKETS = 100_000;

/** Whether this kernel has netem. Tried in a namespace of ours, on an interface nobody uses yet. */
export async function hasNetem(netns: string, device: string): Promise<boolean> {
  const args = ["-n", netns, "qdisc"];
  try {
    await run("tc", [...args, "add", "dev", device, "root", "netem", "delay", "1ms"]);
  } catch {
    return false;
  }
  await run("tc", [...args, "del", "dev", device, "root"]);
  return true;
}

export interface Cable {
  readonly port: string;
  readonly tap: string;
}

/** Starts our program for all cables of a lab; the taps exist already. */
export async function startDelay(options: {
  readonly netns: string;
  readonly binary: string;
  readonly folder: string;
  readonly delayMs: number;
  readonly cables: readonly Cable[];
}): Promise<ProcessHandle> {
  const log = join(options.folder, "delay.log");
  const handle = startDetached({
    netns: options.netns,
    command: [
      options.binary,
      String(Math.round(options.delayMs * 1000)),
      String(QUEUE_MAX_BYTES),
      ...options.cables.flatMap((cable) => [cable.port, cable.tap]),
    ],
    log,
    nice: NICE,
  });
  const deadline = performance.now() + READY_DEADLINE_MS;
  while (!readFileSync(log, "utf8").includes("ready")) {
    if (!isAlive(handle) || performance.now() > deadline) {
      throw new CodedError("TOOL_FAILED", { command: "delay", why: readFileSync(log, "utf8").trim() });
    }
    await sleep(POLL_MS);
  }
  return handle;
}
