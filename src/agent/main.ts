/** The agent's life: configuration, store, listeners, and a clean end that leaves every QEMU running. */
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { dirname, join } from "node:path";
import type { TLSSocket } from "node:tls";

import { localRoutes, peerRoutes } from "../api/routes.ts";
import { CodedError } from "../std/errors.ts";
import { Agent } from "./agent.ts";
import { readConfig } from "./config.ts";
import { makeServer, register, registerEvents } from "./http.ts";
import { makeLog } from "./log.ts";
import { Store } from "./store.ts";

/** Runs until SIGTERM or SIGINT. */
export async function runAgent(configFile: string): Promise<void> {
  const config = readConfig(configFile);
  const log = makeLog(config.name);
  mkdirSync(config.stateDir, { recursive: true, mode: 0o700 });
  mkdirSync(dirname(config.socket), { recursive: true });
  if (await answers(config.socket))
    throw new CodedError("USAGE", { problem: `Another agent answers at ${config.socket} already.` });
  rmSync(config.socket, { force: true });

  const store = new Store(join(config.stateDir, "agent.db"));
  const agent = new Agent(config, store, log);
  await agent.resume();

  const tls = (file: string): Buffer => readFileSync(join(config.tlsDir, file));
  const local = await makeServer(log);
  register(local, localRoutes, agent.local);
  registerEvents(local, agent.hub);
  const forPeers = await makeServer(log, {
    minVersion: "TLSv1.3",
    ca: tls("ca-cert.pem"),
    cert: tls("server-cert.pem"),
    key: tls("server-key.pem"),
    requestCert: true,
    rejectUnauthorized: true,
  });
  register(forPeers, peerRoutes, agent.forPeers);
  forPeers.server.on("tlsClientError", (error: Error, socket: TLSSocket) => {
    log.warn(
      { peer: socket.remoteAddress, why: error.message },
      "a peer was refused: no certificate of our CA",
    );
  });

  await forPeers.listen({ host: config.listen.address, port: config.listen.port });
  await local.listen({ path: config.socket });
  chmodSync(config.socket, 0o600);
  log.info({ socket: config.socket, listen: config.listen }, "ready");

  await new Promise<void>((resolve) => {
    process.once("SIGTERM", resolve);
    process.once("SIGINT", resolve);
  });
  log.info("ending; VMs and their migrations go on");
  await Promise.all([local.close(), forPeers.close()]);
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
