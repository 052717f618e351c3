/** The agent's life: configuration, store, listeners, and a clean end that leaves every QEMU running. */
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { dirname, join } from "node:path";

import { Standby } from "../relay/standby.ts";
import { CodedError } from "../std/errors.ts";
import { Agent } from "./agent.ts";
import { AuditLog } from "./audit.ts";
import { readConfig } from "./config.ts";
import { RESERVE_BYTES } from "./database.ts";
import { listen, makeListeners } from "./listeners.ts";
import { makeLog } from "./log.ts";
import { logEvents } from "./log-events.ts";
import { Observability } from "./observability.ts";
import { Recorder } from "./recorder.ts";
import { serviceManager } from "./service-manager.ts";
import { likelyStore } from "./store-files.ts";
import { Store } from "./store.ts";
import { startTracing } from "./tracing.ts";

/** Runs until SIGTERM or SIGINT. */
export async function runAgent(configFile: string): Promise<void> {
  const config = readConfig(configFile);
  const log = makeLog(config.name);
  const manager = serviceManager(process.env, log);
  mkdirSync(config.stateDir, { recursive: true, mode: 0o700 });
  mkdirSync(dirname(config.socket), { recursive: true });
  if (await answers(config.socket))
    throw new CodedError("USAGE", { problem: `Another agent answers at ${config.socket} already.` });
  rmSync(config.socket, { force: true });

  const store = new Store(join(config.stateDir, "agent.db"), { reserveBytes: RESERVE_BYTES });
  const { stateDir, tlsDir, name } = config;
  const standby = config.standbyRelay
    ? new Standby({ dir: join(stateDir, "standby"), tlsDir, name, holds: () => likelyStore(config) })
    : undefined;
  const agent = new Agent(config, store, log, standby);
  logEvents(agent.hub, log);
  const observability = new Observability({
    config,
    store,
    hub: agent.hub,
    vms: async () => agent.vms(),
  });
  const tracing = await startTracing({ config, store, hub: agent.hub, log });
  const audit = new AuditLog(store.database, join(config.stateDir, "audit.head"), log);
  const recorder = new Recorder(join(config.stateDir, "recordings.db"), agent.hub, log);
  await agent.resume();

  const served = { config, agent, store, audit, recorder, observability, log };
  const listeners = makeListeners(served);
  await listen(listeners, served);
  audit.note({ who: "agent", what: "start", to: config.name, outcome: "done", code: null });
  log.info({ socket: config.socket, listen: config.listen }, "ready");
  manager.ready();
  standby?.fill(0);
  agent.getReady();

  await new Promise<void>((resolve) => {
    process.once("SIGTERM", resolve);
    process.once("SIGINT", resolve);
  });
  manager.stopping();
  log.info("ending; VMs and their migrations go on");
  const { local, forPeers, forPeople } = listeners;
  await Promise.all([local.close(), forPeers.close(), forPeople?.close()]);
  audit.note({ who: "agent", what: "end", to: config.name, outcome: "done", code: null });
  audit.close();
  await recorder.close();
  observability.close();
  await tracing.close();
  standby?.close();
  agent.close();
}

/** True when somebody listens on the socket: its file alone says nothing after a crash. */
async function answers(socket: string): Promise<boolean> {
  if (!existsSync(socket)) return false;
  return new Promise((resolve) => {
    const probe = connect(socket);
    probe.once("connect", () => (probe.destroy(), resolve(true)));
    probe.once("error", () => resolve(false));
  });
}
