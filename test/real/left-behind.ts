/** What a run of migrations may leave behind: counted before and after, for whoever moves guests by the hundred. */
import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { join } from "node:path";

export interface LeftBehind {
  /** Whose command line names the run's folder. */
  readonly processes: number;
  /** This process's own descriptors, and those among them that are sockets. */
  readonly descriptors: number;
  readonly sockets: number;
  readonly socketFiles: number;
  /** Network namespaces whose name holds the run's word. */
  readonly namespaces: number;
}

export function leftBehind(dir: string, word: string): LeftBehind {
  const links = namesIn("/proc/self/fd").map((fd) => linkOf(`/proc/self/fd/${fd}`));
  return {
    processes: processesOf(dir).length,
    descriptors: links.filter((link) => link !== undefined).length,
    sockets: links.filter((link) => link?.startsWith("socket:")).length,
    socketFiles: socketFilesIn(dir),
    namespaces: namesIn("/run/netns").filter((name) => name.includes(word)).length,
  };
}

export function processesOf(dir: string): readonly number[] {
  return namesIn("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => textOf(`/proc/${pid}/cmdline`).includes(dir))
    .map(Number);
}

/** Resident bytes of a process; 0 when it is gone. */
export function residentBytes(pid: number): number {
  const kib = /^VmRSS:\s+(\d+) kB/m.exec(textOf(`/proc/${pid}/status`))?.[1];
  return kib === undefined ? 0 : Number(kib) * 1024;
}

export const descriptorsOf = (pid: number): number => namesIn(`/proc/${pid}/fd`).length;

function socketFilesIn(dir: string): number {
  let count = 0;
  for (const name of namesIn(dir)) {
    const path = join(dir, name);
    const found = statSync(path, { throwIfNoEntry: false });
    if (found?.isSocket() === true) count += 1;
    else if (found?.isDirectory() === true) count += socketFilesIn(path);
  }
  return count;
}

/** Empty for what is gone in between. */
function namesIn(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch {
    return [];
  }
}

function textOf(file: string): string {
  try {
    return readFileSync(file, "latin1");
  } catch {
    return "";
  }
}

function linkOf(file: string): string | undefined {
  try {
    return readlinkSync(file);
  } catch {
    return undefined;
  }
}
