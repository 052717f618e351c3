/**
 * Page stores made from the files that guests are started from (relay/boot-store.ts): one for each pair of kernel and initial
 * file system, in a folder of the agent's own. Made by a process of its own, once: when a VM is started
 * here, so that it is there when a relay needs it. Both hosts have the files, and make theirs from their own.
 *
 * Whoever could write here could change guests, so a folder that others may look into is not used.
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { statSync, utimesSync } from "node:fs";
import { basename, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import type { MachineSpec } from "../api/machine.ts";
import { programPath } from "../std/program-path.ts";
import type { AgentConfig } from "./config.ts";
import { keepNewest, newestIn, ownFolder } from "./own-folder.ts";

const MAIN = programPath(import.meta.url, "../relay/boot-main.ts");
const FOLDER = "boot";
const SUFFIX = ".store";
/** Another way to make them makes other ones. */
const MAKING = 1;
/** It takes a second on an idle core. */
const MAKING_MS_MAX = 60_000;
/** Peers name machines too: what they name is not made without end. */
const MAKING_AT_ONCE_MAX = 2;
/** A migration is not held up for longer: it goes without. */
const WAIT_MS_MAX = 3_000;

/** By their files. Shared by all agents of this process, as the folder may be. */
const making = new Map<string, Promise<void>>();

/** Begins to make it where it is missing. Never throws: without one a migration only sends more. */
export function makeBootStore(config: AgentConfig, machine: MachineSpec): void {
  void begin(config, machine);
}

/** The file, waited for while it is being made; undefined where there is none to be had. Never rejects. */
export async function bootStoreFile(config: AgentConfig, machine: MachineSpec): Promise<string | undefined> {
  const file = begin(config, machine);
  if (file === undefined) return undefined;
  await Promise.race([making.get(file), delay(WAIT_MS_MAX, undefined, { ref: false })]);
  return isThere(file) ? file : undefined;
}

/** The one that was used last, of whichever machine. */
export const newestBoot = (config: AgentConfig): string | undefined =>
  config.bootStores === false ? undefined : newestIn(dirOf(config), SUFFIX);

/** The file, if it is there already. Never throws. */
export function madeBootStore(config: AgentConfig, machine: MachineSpec): string | undefined {
  const file = fileOf(config, machine);
  return file !== undefined && isThere(file) ? file : undefined;
}

function isThere(file: string): boolean {
  return statSync(file, { throwIfNoEntry: false }) !== undefined;
}

function begin(config: AgentConfig, machine: MachineSpec): string | undefined {
  const file = fileOf(config, machine);
  if (file === undefined || config.bootStores === false) return undefined;
  if (making.has(file) || making.size >= MAKING_AT_ONCE_MAX) return file;
  try {
    const now = new Date();
    // The newest stay: one that is used is as good as new.
    if (isThere(file)) utimesSync(file, now, now);
    else {
      ownFolder(dirOf(config));
      keepNewest(dirOf(config), SUFFIX, basename(file), config.bootStores.count);
      making.set(
        file,
        made(file, machine).finally(() => making.delete(file)),
      );
    }
    return file;
  } catch {
    return undefined;
  }
}

/** Never rejects: a process that fails leaves no file. */
function made(file: string, { spec: { kernel, initrd } }: MachineSpec): Promise<void> {
  const child = spawn(process.execPath, [MAIN, JSON.stringify({ kernel, initrd, file })], {
    stdio: "ignore",
    timeout: MAKING_MS_MAX,
    killSignal: "SIGKILL",
  });
  child.unref();
  return new Promise((resolve) => {
    child.once("exit", () => resolve());
    child.once("error", () => resolve());
  });
}

const dirOf = ({ stateDir, bootStores }: AgentConfig): string =>
  (bootStores === false ? undefined : bootStores.dir) ?? join(stateDir, FOLDER);

/** Named after what the machine's files are now, so that a file that was replaced has another one. */
function fileOf(config: AgentConfig, { spec: { kernel, initrd } }: MachineSpec): string | undefined {
  if (config.bootStores === false || (kernel === undefined && initrd === undefined)) return undefined;
  try {
    const files = [kernel, initrd].map((path) => {
      if (path === undefined) return null;
      const { ino, size, mtimeMs } = statSync(path);
      return [path, ino, size, mtimeMs];
    });
    const name = createHash("sha256")
      .update(JSON.stringify([MAKING, ...files]))
      .digest("hex")
      .slice(0, 32);
    return join(dirOf(config), `${name}${SUFFIX}`);
  } catch {
    return undefined; // QEMU will say what is missing
  }
}
