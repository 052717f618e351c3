/**
 * Several hosts on one machine: brings a lab up, takes it down, lists what there is. Down is written for what a crash
 * leaves: it trusts names and process membership first, and the record second.
 */
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  unlinkSync,
} from "node:fs";
import { join } from "node:path";

import { CodedError } from "../std/errors.ts";
import { formatDuration, formatRate } from "../std/units.ts";
import {
  AGENT_HANDLE_FILE,
  type AgentStarter,
  prepareAgents,
  runningAgent,
  startAgentProcess,
} from "./agents.ts";
import {
  DEFAULT_LAB,
  HOSTS_FOLDER,
  type LabPlace,
  OBSERVE_FOLDER,
  checkNames,
  clientAddress,
  hostNamespace,
  labPlace,
  migrationAddress,
  netNamespace,
} from "./names.ts";
import { keptStoresFolder } from "./kept-stores.ts";
import { namespacesOf, networkDown, networkUp } from "./network.ts";
import { type ProcessHandle, killAll, readHandle } from "./processes.ts";
import { type LabState, changeLab, labNames, loadLab, saveLab } from "./state.ts";

export { startAgent, stopAgent } from "./agents.ts";
export { type LabGuest, type LabHost, type LabState, loadLab } from "./state.ts";

/** Each host costs an agent and, with guests, their memory; a /24 and two cores hold no more. */
const HOSTS_MAX = 16;
const DELAY_MAX_MS = 2000;
/** Below this a control connection times out before its first certificate is across. */
const RATE_MIN_BYTES_PER_SECOND = 8 * 1024;
const HANDLE_FILE = /\.json$/;

export interface LabRequest {
  readonly name?: string;
  readonly hosts: readonly string[];
  readonly linkBytesPerSecond?: number | undefined;
  /** Each way. */
  readonly delayMs?: number | undefined;
}

export interface LabSummary {
  readonly name: string;
  readonly id: string;
  readonly hosts: number;
  readonly guests: number;
  readonly agentsRunning: number;
  readonly rootless: boolean;
  readonly link: string;
  /** "up", or why it is not whole. */
  readonly state: string;
}

const isRoot = (): boolean => process.getuid?.() === 0;

export interface LabParts {
  readonly prepare: (lab: LabState) => Promise<void>;
  readonly start: AgentStarter;
}

/** @throws CodedError LAB_EXISTS; any other failure removes what was made. */
export async function labUp(
  request: LabRequest,
  parts: LabParts = { prepare: prepareAgents, start: startAgentProcess },
): Promise<LabState> {
  const name = request.name ?? DEFAULT_LAB;
  checkRequest(name, request);
  const place = labPlace(name);
  await claim(place);
  try {
    return await build(place, request, parts);
  } catch (error) {
    await labDown(name);
    throw error;
  }
}

function checkRequest(name: string, request: LabRequest): void {
  checkNames(name, request.hosts);
  const refuse = (problem: string): never => {
    throw new CodedError("USAGE", { problem });
  };
  if (request.hosts.length < 1 || request.hosts.length > HOSTS_MAX)
    refuse(`A lab has 1 to ${HOSTS_MAX} hosts.`);
  const rate = request.linkBytesPerSecond;
  if (rate !== undefined && !(Number.isFinite(rate) && rate >= RATE_MIN_BYTES_PER_SECOND)) {
    refuse("A lab's link carries at least 8KiB/s.");
  }
  const delayMs = request.delayMs ?? 0;
  if (!(delayMs >= 0 && delayMs <= DELAY_MAX_MS)) refuse(`A lab's delay is 0 to ${DELAY_MAX_MS} ms.`);
}

/** Making the folder is the lock: of two commands, one gets it. */
async function claim(place: LabPlace): Promise<void> {
  mkdirSync(place.home, { recursive: true });
  try {
    mkdirSync(place.folder, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    throw new CodedError("LAB_EXISTS", { lab: place.name }, { cause: error });
  }
  if (isRoot() && (await namespacesOf(place.id)).length > 0) {
    rmSync(place.folder, { recursive: true });
    throw new CodedError("LAB_EXISTS", { lab: place.name });
  }
}

async function build(place: LabPlace, request: LabRequest, parts: LabParts): Promise<LabState> {
  const rootless = !isRoot();
  if (place.shortFolder !== place.folder) symlinkSync(place.folder, place.shortFolder);
  for (const host of request.hosts) {
    mkdirSync(join(place.folder, HOSTS_FOLDER, host), { recursive: true, mode: 0o700 });
  }
  const link = rootless
    ? {
        rateBytesPerSecond: null,
        delayMs: 0,
        shaped: false,
        note: "Without root: hosts are loopback addresses, nothing is shaped or delayed; run as root for a link.",
      }
    : await networkUp(place, request.hosts, {
        bytesPerSecond: request.linkBytesPerSecond ?? null,
        delayMs: request.delayMs ?? 0,
      });
  const lab = freshState(place, request.hosts, rootless, link);
  saveLab(lab);
  await parts.prepare(lab);
  const agents = await Promise.all(
    lab.hosts.map(async (host) => [host.name, await parts.start(lab, host)] as const),
  );
  const started = new Map(agents);
  return changeLab(place.name, (now) => ({
    ...now,
    hosts: now.hosts.map((host) => ({ ...host, agent: started.get(host.name) ?? null })),
  }));
}

function freshState(
  place: LabPlace,
  hosts: readonly string[],
  rootless: boolean,
  link: LabState["link"],
): LabState {
  return {
    name: place.name,
    id: place.id,
    folder: place.folder,
    subnet: place.subnet,
    rootless,
    link,
    hosts: hosts.map((host, index) => {
      const folder = join(place.shortFolder, HOSTS_FOLDER, host);
      return {
        name: host,
        netns: rootless ? null : hostNamespace(place.id, host),
        address: migrationAddress(place.subnet, index, rootless),
        socket: join(folder, "agent.sock"),
        configFile: join(folder, "agent.yaml"),
        stateDir: folder,
        logFile: join(folder, "agent.log"),
        agent: null,
      };
    }),
    client: {
      netns: rootless ? null : netNamespace(place.id),
      address: rootless ? "127.0.0.1" : clientAddress(place.subnet),
    },
    guests: [],
  };
}

/** Removes a lab, whatever is left of it. Twice is harmless. @returns what was removed, in words. */
export async function labDown(name: string = DEFAULT_LAB): Promise<{ removed: string[] }> {
  checkNames(name);
  const place = labPlace(name);
  const removed: string[] = [];
  // Agents first, so that none of them restarts or reports what is about to be ended.
  const { agents, others } = recordedProcesses(place);
  const ended = (await killAll(agents)) + (await killAll(others));
  if (ended > 0) removed.push(`${ended} process(es)`);
  if (isRoot()) removed.push(...(await networkDown(place.id)));
  if (isLinkTo(place.shortFolder, place.folder)) {
    unlinkSync(place.shortFolder);
    removed.push(place.shortFolder);
  }
  rmSync(keptStoresFolder(place.id), { recursive: true, force: true });
  if (existsSync(place.folder)) {
    rmSync(place.folder, { recursive: true, force: true });
    removed.push(place.folder);
  }
  return { removed };
}

function isLinkTo(path: string, target: string): boolean {
  try {
    return lstatSync(path).isSymbolicLink() && readlinkSync(path) === target;
  } catch {
    return false;
  }
}

/** Handles in the lab's folder, found by where they lie: the record itself may be missing. */
function recordedProcesses(place: LabPlace): { agents: ProcessHandle[]; others: ProcessHandle[] } {
  const agents: ProcessHandle[] = [];
  const others: ProcessHandle[] = [];
  const take = (file: string, into: ProcessHandle[]): void => {
    const handle = readHandle(file);
    if (handle !== null) into.push(handle);
  };
  const hosts = join(place.folder, HOSTS_FOLDER);
  for (const host of list(hosts)) {
    take(join(hosts, host, AGENT_HANDLE_FILE), agents);
    for (const vm of list(join(hosts, host, "vms"))) take(join(hosts, host, "vms", vm, "qemu.json"), others);
    take(join(hosts, host, "standby", "relay-handle.json"), others);
    const relays = join(hosts, host, "relays");
    for (const relay of list(relays)) take(join(relays, relay, "relay-handle.json"), others);
  }
  const observers = join(place.folder, OBSERVE_FOLDER);
  for (const vm of list(observers)) {
    for (const file of list(join(observers, vm))) {
      if (HANDLE_FILE.test(file)) take(join(observers, vm, file), others);
    }
  }
  return { agents, others };
}

/** Every lab that left a folder, with what can be seen of its health. */
export async function labList(): Promise<LabSummary[]> {
  const summaries: LabSummary[] = [];
  for (const name of labNames()) {
    let lab: LabState;
    try {
      lab = loadLab(name);
    } catch {
      const { id } = labPlace(name);
      const link = "?";
      const state = "half-made; godwit lab down removes it";
      summaries.push({ name, id, hosts: 0, guests: 0, agentsRunning: 0, rootless: false, link, state });
      continue;
    }
    const agentsRunning = lab.hosts.filter((host) => runningAgent(host) !== null).length;
    const there = lab.rootless ? [] : await namespacesOf(lab.id);
    const missing = [...lab.hosts, lab.client].filter(
      ({ netns }) => netns !== null && !there.includes(netns),
    ).length;
    summaries.push({
      name,
      id: lab.id,
      hosts: lab.hosts.length,
      guests: lab.guests.length,
      agentsRunning,
      rootless: lab.rootless,
      link: linkText(lab.link),
      state:
        missing > 0
          ? `${missing} namespace(s) missing; godwit lab down removes the rest`
          : agentsRunning < lab.hosts.length
            ? `${lab.hosts.length - agentsRunning} agent(s) not running`
            : "up",
    });
  }
  return summaries;
}

export function linkText(link: LabState["link"]): string {
  const rate = link.rateBytesPerSecond === null ? "not shaped" : formatRate(link.rateBytesPerSecond);
  return link.delayMs === 0 ? rate : `${rate}, ${formatDuration(link.delayMs)} each way`;
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
