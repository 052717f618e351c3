/** The lab's agents: their configuration files and certificates, starting them and ending them. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { stringify } from "yaml";

import { initCa, issueHost } from "../agent/pki.ts";
import { CodedError } from "../std/errors.ts";
import { programPath } from "../std/program-path.ts";
import { cacheDir } from "./guest/packages.ts";
import { keptStoresDir } from "./kept-stores.ts";
import { AGENT_PORT, DOOR_ADDRESS, HTTP_PORT, MIGRATION_INTERFACE, MIGRATION_PORTS } from "./names.ts";
import {
  type ProcessHandle,
  isAlive,
  killAll,
  readHandle,
  signalAll,
  startDetached,
  waitGone,
} from "./processes.ts";
import { type LabHost, type LabState, changeLab, hostOf } from "./state.ts";

const HEALTHY_DEADLINE_MS = 30_000;
const STOP_DEADLINE_MS = 10_000;
const POLL_MS = 50;
const HEALTH_TIMEOUT_MS = 2000;
const LOG_TAIL_BYTES = 2000;
const MAIN = programPath(import.meta.url, "../cli/main.ts");

/** How an agent is started; tests of the lab itself put something smaller in its place. */
export type AgentStarter = (lab: LabState, host: LabHost) => Promise<ProcessHandle | null>;

/** Beside the agent's own files, in its state folder. */
export const AGENT_HANDLE_FILE = "lab-agent.json";
const agentHandleFile = (host: LabHost): string => join(host.stateDir, AGENT_HANDLE_FILE);

/** Certificates and configuration of every host; nothing is started. */
export async function prepareAgents(lab: LabState): Promise<void> {
  const caDir = join(lab.folder, "ca");
  await initCa(caDir);
  for (const host of lab.hosts) {
    const tlsDir = join(dirname(host.configFile), "tls");
    mkdirSync(host.stateDir, { recursive: true, mode: 0o700 });
    await issueHost({ caDir, name: host.name, addresses: [host.address], outDir: tlsDir });
    writeFileSync(host.configFile, stringify(agentConfig(lab, host, tlsDir)), { mode: 0o600 });
  }
}

export function agentConfig(lab: LabState, host: LabHost, tlsDir: string): Record<string, unknown> {
  return {
    name: host.name,
    stateDir: host.stateDir,
    socket: host.socket,
    listen: { address: host.address, port: AGENT_PORT },
    tlsDir,
    peers: lab.hosts
      .filter((peer) => peer.name !== host.name)
      .map((peer) => ({ name: peer.name, address: peer.address, port: AGENT_PORT })),
    migration: {
      address: host.address,
      portMin: MIGRATION_PORTS.min,
      portMax: MIGRATION_PORTS.max,
      // Loopback carries everybody's traffic, each byte out and in: its counters say nothing of a migration.
      ...(lab.rootless ? {} : { interface: MIGRATION_INTERFACE }),
    },
    // For people. In a namespace of its own it is reached through a door (door.ts).
    http: { address: lab.rootless ? host.address : DOOR_ADDRESS, port: HTTP_PORT },
    keptStores: { dir: keptStoresDir(lab, host) },
    // Beside the guests' own files: as these, once per machine, and not for each lab again.
    bootStores: { dir: join(cacheDir(), "boot") },
    qemu: "qemu-system-x86_64",
    forwardAddress: host.address,
  };
}

/** Starts a host's agent and waits until it answers. */
export const startAgentProcess: AgentStarter = async (_lab, host) => {
  const handle = startDetached({
    netns: host.netns,
    command: [process.execPath, MAIN, "agent", "--config", host.configFile],
    log: host.logFile,
    handleFile: agentHandleFile(host),
  });
  const deadline = performance.now() + HEALTHY_DEADLINE_MS;
  while (!(await healthy(host.socket))) {
    if (!isAlive(handle) || performance.now() > deadline) {
      const why = isAlive(handle) ? "does not answer" : "ended";
      await killAll([handle]);
      throw new CodedError("TOOL_FAILED", {
        command: `The agent of host ${host.name}`,
        why: `it ${why}. Its last words: ${logTail(host.logFile)}`,
      });
    }
    await sleep(POLL_MS);
  }
  return handle;
};

function logTail(file: string): string {
  try {
    return readFileSync(file, "utf8").slice(-LOG_TAIL_BYTES).trim();
  } catch {
    return "(no log)";
  }
}

/** Whether GET /healthz on a unix socket is answered with 200. */
export function healthy(socketPath: string): Promise<boolean> {
  return new Promise((done) => {
    const asked = request(
      { socketPath, path: "/healthz", timeout: HEALTH_TIMEOUT_MS, agent: false },
      (answer) => {
        answer.resume();
        done(answer.statusCode === 200);
      },
    );
    asked.on("timeout", () => asked.destroy());
    asked.on("error", () => done(false));
    // After a response, or an error, this says nothing new.
    asked.on("close", () => done(false));
    asked.end();
  });
}

const recordAgent = (name: string, host: string, agent: ProcessHandle | null): LabState =>
  changeLab(name, (lab) => ({
    ...lab,
    hosts: lab.hosts.map((one) => (one.name === host ? { ...one, agent } : one)),
  }));

/** Starts the agent of one host again; one that runs already is left as it is. */
export async function startAgent(lab: LabState, name: string): Promise<ProcessHandle> {
  const host = hostOf(lab, name);
  const running = runningAgent(host);
  if (running !== null) return running;
  const handle = await startAgentProcess(lab, host);
  if (handle === null) throw new CodedError("INTERNAL", { problem: `no handle of the agent of ${name}` });
  recordAgent(lab.name, name, handle);
  return handle;
}

/** The agent that runs now, by the newest of its records: a caller's copy of the lab's state may be old. */
export function runningAgent(host: LabHost): ProcessHandle | null {
  const handle = readHandle(agentHandleFile(host)) ?? host.agent;
  return handle !== null && isAlive(handle) ? handle : null;
}

/** Ends one agent. With SIGKILL this is the crash that tests want; its QEMUs keep running either way. */
export async function stopAgent(
  lab: LabState,
  name: string,
  signal: NodeJS.Signals = "SIGTERM",
): Promise<void> {
  const host = hostOf(lab, name);
  const handle = runningAgent(host);
  if (handle !== null) {
    signalAll([handle], signal);
    await waitGone([handle], STOP_DEADLINE_MS);
  }
  recordAgent(lab.name, name, null);
}
