/**
 * Starts and ends a guest's observers. They run in its client's place, from the guest's start to its end, so that a
 * baseline exists before any migration; observe.ts reads what they log.
 */
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { CodedError } from "../../std/errors.ts";
import { programPath } from "../../std/program-path.ts";
import { ensurePrograms } from "../guest/programs.ts";
import { guestPorts } from "../guest/workloads.ts";
import { OBSERVE_FOLDER } from "../names.ts";
import {
  type ProcessHandle,
  isAlive,
  killAll,
  readHandle,
  signalAll,
  startDetached,
  waitGone,
} from "../processes.ts";
import { type LabGuest, type LabState, changeLab } from "../state.ts";

export const PROBE_PERIOD_MS = 1;
/** The guest's beacon counts once per millisecond. */
export const BEACON_TICK_MS = 1;
export const WRITES_PER_SECOND = 200;
/** A prober that is late measures itself; everything else on the machine can wait for its microseconds. */
const PROBE_NICE = -15;
const CLIENT_NICE = -10;
const READY_DEADLINE_MS = 10_000;
const STOP_DEADLINE_MS = 5000;
const POLL_MS = 20;
/** With an address of its own, a guest keeps its connections however long it is paused. */
const STALL_MS = 120_000;
/** Without, it answers elsewhere after a migration and must be looked for. */
const STALL_ROOTLESS_MS = 2000;

export const logFiles = (folder: string) => ({
  probe: join(folder, "probe.bin"),
  beacon: join(folder, "beacon.bin"),
  writes: join(folder, "writes.bin"),
});

const handleFile = (folder: string, what: string): string => join(folder, `${what}.json`);

export interface ObserverSettings {
  readonly writesPerSecond?: number;
}

/** Starts a guest's observers, anew when they run already. @returns the guest as recorded. */
export async function startObserver(
  lab: LabState,
  guest: LabGuest,
  settings: ObserverSettings = {},
): Promise<LabGuest> {
  const folder = join(lab.folder, OBSERVE_FOLDER, guest.name);
  await endProcesses(folder);
  mkdirSync(folder, { recursive: true });
  const { probe } = await ensurePrograms();
  // Without root nobody may raise a priority.
  const nice = (value: number) => (lab.rootless ? {} : { nice: value });
  await startReady({
    netns: guest.client.netns,
    command: [
      probe,
      String(guestPorts.echo + guest.portOffset),
      // Port 0 is some free port: nobody's beacon is heard there.
      lab.rootless ? "0" : String(guestPorts.beacon),
      String(PROBE_PERIOD_MS * 1000),
      folder,
      ...guest.reachableAt,
    ],
    log: join(folder, "probe.log"),
    handleFile: handleFile(folder, "probe"),
    ...nice(PROBE_NICE),
  });
  if (guest.workload === "redis") {
    await startReady({
      netns: guest.client.netns,
      command: [
        process.execPath,
        programPath(import.meta.url, "./redis-client.ts"),
        logFiles(folder).writes,
        String(settings.writesPerSecond ?? WRITES_PER_SECOND),
        String(lab.rootless ? STALL_ROOTLESS_MS : STALL_MS),
        String(guestPorts.redis + guest.portOffset),
        ...guest.reachableAt,
      ],
      log: join(folder, "redis.log"),
      handleFile: handleFile(folder, "redis"),
      ...nice(CLIENT_NICE),
    });
  }
  const observer = {
    folder,
    periodMs: PROBE_PERIOD_MS,
    tickMs: BEACON_TICK_MS,
    beacon: !lab.rootless,
  };
  const observed = { ...guest, observer };
  changeLab(lab.name, (now) => ({
    ...now,
    guests: now.guests.map((one) => (one.name === guest.name ? { ...one, observer } : one)),
  }));
  return observed;
}

/** Ends a guest's observers; what they wrote stays. */
export async function stopObserver(lab: LabState, guest: LabGuest): Promise<void> {
  await endProcesses(join(lab.folder, OBSERVE_FOLDER, guest.name));
}

async function startReady(options: Parameters<typeof startDetached>[0]): Promise<ProcessHandle> {
  rmSync(options.log, { force: true });
  const handle = startDetached(options);
  const deadline = performance.now() + READY_DEADLINE_MS;
  while (!readFileSync(options.log, "utf8").includes(": ready")) {
    if (!isAlive(handle) || performance.now() > deadline) {
      await killAll([handle]);
      const why = readFileSync(options.log, "utf8").trim();
      throw new CodedError("TOOL_FAILED", { command: options.command.join(" "), why: why || "not ready" });
    }
    await sleep(POLL_MS);
  }
  return handle;
}

async function endProcesses(folder: string): Promise<void> {
  if (!existsSync(folder)) return;
  const handles = ["probe", "redis"].flatMap((what) => readHandle(handleFile(folder, what)) ?? []);
  signalAll(handles, "SIGTERM");
  await waitGone(handles, STOP_DEADLINE_MS).catch(() => killAll(handles));
  for (const what of ["probe", "redis"]) rmSync(handleFile(folder, what), { force: true });
}
