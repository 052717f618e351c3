/**
 * Fault points: after every journaled step the agent passes one, and a test may demand that processes die (or stand
 * still) right there. Off unless GODWIT_FAULTS names a file with a list of demands; agents may share it, the step's
 * name says whose it is. Each demand is met once, by whoever makes its mark (FILE.NUMBER) first.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface FaultDemand {
  /** "source:PHASE" or "target:PHASE". */
  readonly at: string;
  readonly kill?: readonly number[];
  /** Folders of VM folders: every QEMU with a handle there. Its pid is not known beforehand. */
  readonly killQemusIn?: readonly string[];
  /** These get SIGSTOP instead. */
  readonly stop?: readonly number[];
  readonly stopQemusIn?: readonly string[];
}

export function faultPoint(name: string): void {
  const file = process.env["GODWIT_FAULTS"];
  if (file === undefined) return;
  for (const [number, demand] of demandsIn(file).entries()) {
    if (demand.at !== name) continue;
    const kill = [...qemusIn(demand.killQemusIn), ...(demand.kill ?? [])];
    if (firstAt(`${file}.${number}`, kill))
      meet(kill, [...qemusIn(demand.stopQemusIn), ...(demand.stop ?? [])]);
  }
}

function demandsIn(file: string): readonly FaultDemand[] {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as readonly FaultDemand[];
  } catch {
    return []; // no demand at the moment
  }
}

/** The mark tells whom it met. */
function firstAt(mark: string, pids: readonly number[]): boolean {
  try {
    writeFileSync(mark, JSON.stringify(pids), { flag: "wx" });
    return true;
  } catch {
    return false;
  }
}

function meet(kill: readonly number[], stop: readonly number[]): void {
  for (const pid of stop) signal(pid, "SIGSTOP");
  const own = (pid: number): number => (pid === process.pid ? 1 : 0);
  // This process last: nothing happens after it.
  for (const pid of [...kill].sort((one, other) => own(one) - own(other))) signal(pid, "SIGKILL");
}

function qemusIn(folders: readonly string[] = []): number[] {
  return folders.flatMap((folder) =>
    readdirSync(folder).flatMap((vm) => {
      try {
        const { pid } = JSON.parse(readFileSync(join(folder, vm, "qemu.json"), "utf8")) as { pid: number };
        return [pid];
      } catch {
        return [];
      }
    }),
  );
}

function signal(pid: number, name: "SIGKILL" | "SIGSTOP"): void {
  try {
    process.kill(pid, name);
  } catch {
    // It has ended already.
  }
}
