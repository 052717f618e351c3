/**
 * Tap devices: one persistent device for each NIC on a bridge, made before QEMU starts and removed after it ended.
 * Persistent, because a NIC's device must outlive the agent and be found again by name.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { promisify } from "node:util";

import { type MachineSpec, USER_BRIDGE } from "../api/machine.ts";
import { CodedError } from "../std/errors.ts";

const run = promisify(execFile);
const IP_TIMEOUT_MS = 10_000;

/** Names of at most 15 bytes. The folder is part of them: two agents of one lab may share a network namespace. */
export function tapNames(machine: MachineSpec, dir: string): string[] {
  const hash = createHash("sha256").update(`${dir}\0${machine.metadata.name}`).digest("hex").slice(0, 10);
  return machine.spec.nics.flatMap((nic, index) => (nic.bridge === USER_BRIDGE ? [] : [`gw${hash}${index}`]));
}

/** Makes them all or none. @throws CodedError NEEDS_ROOT, or TOOL_FAILED naming the bridge that is missing. */
export async function createTaps(machine: MachineSpec, dir: string): Promise<string[]> {
  const names = tapNames(machine, dir);
  if (names.length === 0) return names;
  if (process.geteuid?.() !== 0) {
    const command = `Run the agent as root, or give the VM's NICs the bridge "${USER_BRIDGE}".`;
    throw new CodedError("NEEDS_ROOT", { what: "Connecting a VM to a bridge", command });
  }
  const bridges = machine.spec.nics.map((nic) => nic.bridge).filter((bridge) => bridge !== USER_BRIDGE);
  const lines = names.flatMap((name, index) => [
    `tuntap add dev ${name} mode tap`,
    `link set dev ${name} master ${bridges[index] ?? ""} up`,
  ]);
  // One process: a move waits for it, and each takes some 15 ms of an agent.
  const made = await ipBatch(lines).then(
    () => true,
    () => false,
  );
  if (made) return names;
  try {
    await removeTaps(names); // of a VM of this name and folder that is gone
    for (const bridge of new Set(bridges)) await requireBridge(bridge);
    await ipBatch(lines);
  } catch (error) {
    await removeTaps(names);
    throw error;
  }
  return names;
}

/** Safe to repeat. */
export async function removeTaps(names: readonly string[]): Promise<void> {
  for (const name of names) {
    if (!(await linkExists(name))) continue;
    try {
      await ip("link", "delete", "dev", name);
    } catch (error) {
      if (await linkExists(name)) throw error;
    }
  }
}

/** Without a process where the kernel's own files tell: a pre-flight check is part of a migration. */
export async function bridgeExists(name: string): Promise<boolean> {
  return shownAsBridge(name) || (await linkExists(name, "type", "bridge"));
}

/** /proc is of this network namespace always, /sys of the one it was mounted in. */
function shownAsBridge(name: string): boolean {
  try {
    const devices = readFileSync("/proc/net/dev", "latin1").split("\n");
    const isHere = devices.some((line) => line.trimStart().startsWith(`${name}:`));
    return isHere && existsSync(`/sys/class/net/${name}/bridge`);
  } catch {
    return false;
  }
}

async function requireBridge(bridge: string): Promise<void> {
  if (await bridgeExists(bridge)) return;
  const command = `connecting a NIC to the bridge ${bridge}`;
  throw new CodedError("TOOL_FAILED", { command, why: "this host has no bridge of that name" });
}

/** `ip link show` fails for an unknown name and prints nothing for one of another type. */
async function linkExists(name: string, ...filter: string[]): Promise<boolean> {
  const shown = await run("ip", ["link", "show", "dev", name, ...filter], { timeout: IP_TIMEOUT_MS }).catch(
    () => undefined,
  );
  return shown !== undefined && shown.stdout.trim() !== "";
}

async function ip(...args: string[]): Promise<void> {
  await ran(run("ip", args, { timeout: IP_TIMEOUT_MS }), args.join(" "));
}

/** Ends with the first line that fails. */
async function ipBatch(lines: readonly string[]): Promise<void> {
  const running = run("ip", ["-batch", "-"], { timeout: IP_TIMEOUT_MS });
  // One that has failed no longer reads; it says why itself.
  running.child.stdin?.on("error", () => {});
  running.child.stdin?.end(`${lines.join("\n")}\n`);
  await ran(running, lines.join("; "));
}

async function ran(running: Promise<unknown>, what: string): Promise<void> {
  try {
    await running;
  } catch (error) {
    const why = String((error as { stderr?: unknown }).stderr ?? error).trim();
    throw new CodedError("TOOL_FAILED", { command: `ip ${what}`, why }, { cause: error });
  }
}
