/** Which files and bridges of a machine spec this host does not have: the facts check.ts asks the target for. */
import { access, constants } from "node:fs/promises";

import type { MachineSpec } from "../api/machine.ts";
import { type Missing, namedBridges, namedFiles } from "./check.ts";
import { bridgeExists } from "./taps.ts";

export async function missingHere(machine: MachineSpec): Promise<Missing> {
  const [files, bridges] = await Promise.all([
    lacking(namedFiles(machine), isReadable),
    lacking(namedBridges(machine), bridgeExists),
  ]);
  return { files, bridges };
}

async function lacking(names: readonly string[], has: (name: string) => Promise<boolean>): Promise<string[]> {
  const there = await Promise.all(names.map(has));
  return names.filter((_name, index) => there[index] !== true);
}

async function isReadable(path: string): Promise<boolean> {
  try {
    await access(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}
