/**
 * The lab's record, lab.json: the shape, and reading and writing it. Written whole and renamed, so that a reader
 * never sees half of it.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";

import { vmName } from "../api/machine.ts";
import { CodedError } from "../std/errors.ts";
import { labHome, labPlace } from "./names.ts";
import { processHandle } from "./processes.ts";

const labHost = z.strictObject({
  name: vmName,
  netns: z.string().nullable(),
  /** On the migration network; without root on loopback. */
  address: z.string(),
  socket: z.string(),
  configFile: z.string(),
  stateDir: z.string(),
  logFile: z.string(),
  agent: processHandle.nullable(),
});
export type LabHost = z.infer<typeof labHost>;

const labClient = z.strictObject({ netns: z.string().nullable(), address: z.string() });

const labGuest = z.strictObject({
  name: vmName,
  /** Where it was started; it may have moved since. */
  host: z.string(),
  workload: z.string(),
  params: z.record(z.string(), z.unknown()),
  address: z.string(),
  /** What the guest is called in numbers: its address and MAC come from it. Not used again while the lab stands. */
  number: z.int().nonnegative(),
  /** Where its observers run and its beacon is heard. */
  client: labClient,
  /** Where it can be reached: its own address, or without root the places where its ports may be forwarded. */
  reachableAt: z.array(z.string()).min(1),
  /** Added to the guest's ports there; 0 where it has its own address. */
  portOffset: z.int().nonnegative(),
  observer: z
    .strictObject({
      folder: z.string(),
      periodMs: z.number(),
      tickMs: z.number(),
      /** Without root all guests' beacons arrive at one place and cannot be told apart. */
      beacon: z.boolean(),
    })
    .nullable(),
});
export type LabGuest = z.infer<typeof labGuest>;

const labState = z.strictObject({
  name: z.string(),
  id: z.string().max(4),
  folder: z.string(),
  subnet: z.int(),
  rootless: z.boolean(),
  link: z.strictObject({
    rateBytesPerSecond: z.number().positive().nullable(),
    /** Each way; a round trip takes twice as long. */
    delayMs: z.number().nonnegative(),
    shaped: z.boolean(),
    note: z.string(),
  }),
  hosts: z.array(labHost),
  client: labClient,
  guests: z.array(labGuest),
});
export type LabState = z.infer<typeof labState>;

const FILE = "lab.json";

/** @throws CodedError LAB_UNKNOWN when there is none, or only half of one. */
export function loadLab(name: string): LabState {
  let text: string;
  try {
    text = readFileSync(join(labPlace(name).folder, FILE), "utf8");
  } catch (error) {
    throw new CodedError("LAB_UNKNOWN", { lab: name }, { cause: error });
  }
  try {
    return labState.parse(JSON.parse(text));
  } catch (error) {
    throw new CodedError(
      "USAGE",
      {
        problem: `The record of lab ${name} cannot be read.`,
        next: "godwit lab down removes it; then make it anew.",
      },
      { cause: error },
    );
  }
}

export function saveLab(lab: LabState): void {
  mkdirSync(lab.folder, { recursive: true });
  const file = join(lab.folder, FILE);
  writeFileSync(`${file}.new`, `${JSON.stringify(lab, null, 2)}\n`, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

/** Reads the record again, changes it and writes it: two commands may work on one lab. */
export function changeLab(name: string, change: (lab: LabState) => LabState): LabState {
  const changed = change(loadLab(name));
  saveLab(changed);
  return changed;
}

/** Names of labs that left a folder, whole or half-made. */
export function labNames(): string[] {
  try {
    return readdirSync(labHome(), { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name)
      .sort();
  } catch {
    return [];
  }
}

export function hostOf(lab: LabState, name: string): LabHost {
  const host = lab.hosts.find((one) => one.name === name);
  if (host === undefined) {
    throw new CodedError("HOST_UNKNOWN", { host: name, known: lab.hosts.map((one) => one.name).join(", ") });
  }
  return host;
}

export function guestOf(lab: LabState, vm: string): LabGuest {
  const guest = lab.guests.find((one) => one.name === vm);
  if (guest === undefined) throw new CodedError("VM_UNKNOWN", { vm, where: `lab ${lab.name}` });
  return guest;
}

/** The lab one of whose agents listens there. */
export function labOfSocket(socketPath: string): LabState | undefined {
  for (const name of labNames()) {
    try {
      const lab = loadLab(name);
      if (lab.hosts.some((host) => host.socket === socketPath)) return lab;
    } catch {
      // half made or half gone: not the one
    }
  }
  return undefined;
}
