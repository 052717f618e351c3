/**
 * Agents on this machine's loopback, without namespaces: for tests of what an agent tells of itself. Each has certificates
 * of one CA, a folder, a free port and the other ones as peers.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { stringify } from "yaml";

import { initCa, issueHost } from "../src/agent/pki.ts";
import { connectAgent, type GodwitClient } from "../src/api/client.ts";
import { healthy } from "../src/lab/agents.ts";

const MAIN = resolve(import.meta.dirname, "../src/cli/main.ts");
const START_DEADLINE_MS = 60_000;
const STOP_DEADLINE_MS = 15_000;
const POLL_MS = 20;

export interface AgentHere {
  readonly name: string;
  readonly socket: string;
  readonly client: GodwitClient;
  readonly stateDir: string;
  /** Where it serves people, and metrics without a token. */
  readonly url: string;
  /** Its log so far, line by line. */
  log(): string[];
}

export interface AgentsHere extends AsyncDisposable {
  readonly folder: string;
  readonly agents: readonly AgentHere[];
}

export interface HereOptions {
  readonly config?: Readonly<Record<string, unknown>>;
  readonly env?: Readonly<Record<string, string>>;
}

export async function agentsHere(names: readonly string[], options: HereOptions = {}): Promise<AgentsHere> {
  const folder = mkdtempSync(join(tmpdir(), "gw-"));
  const children: ChildProcess[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all(children.map(ended));
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    const ca = join(folder, "ca");
    await initCa(ca);
    const peers = [];
    for (const name of names) peers.push({ name, address: "127.0.0.1", port: await freePort() });
    const agents = [];
    for (const peer of peers) {
      const home = join(folder, peer.name);
      const at = (file: string): string => join(home, file);
      mkdirSync(home);
      const httpPort = await freePort();
      await issueHost({ caDir: ca, name: peer.name, addresses: ["127.0.0.1"], outDir: at("tls") });
      const config = {
        name: peer.name,
        stateDir: at("state"),
        socket: at("s"),
        listen: { address: peer.address, port: peer.port },
        tlsDir: at("tls"),
        peers: peers.filter((other) => other !== peer),
        http: { port: httpPort, openMetrics: true },
        ...options.config,
      };
      writeFileSync(at("agent.yaml"), stringify(config));
      const child = spawn(process.execPath, [MAIN, "agent", "--config", at("agent.yaml")], {
        stdio: ["ignore", "ignore", "pipe"],
        env: { ...process.env, ...options.env },
      });
      children.push(child);
      let said = "";
      child.stderr?.on("data", (chunk: Buffer) => (said += chunk.toString()));
      const deadline = performance.now() + START_DEADLINE_MS;
      while (!(await healthy(at("s")))) {
        if (child.exitCode !== null || performance.now() > deadline)
          throw new Error(`agent ${peer.name}: ${said}`);
        await sleep(POLL_MS);
      }
      agents.push({
        name: peer.name,
        socket: at("s"),
        client: connectAgent(at("s")),
        stateDir: at("state"),
        url: `http://127.0.0.1:${httpPort}`,
        log: () => said.split("\n").filter((line) => line !== ""),
      });
    }
    return { folder, agents, [Symbol.asyncDispose]: stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((done) => child.once("exit", done));
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), STOP_DEADLINE_MS);
  await gone;
  clearTimeout(timer);
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const address = server.address();
  await new Promise((done) => server.close(done));
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

export function get(
  socketPath: string,
  path: string,
): Promise<{ status: number; type: string; text: string }> {
  return new Promise((done, fail) => {
    const asked = request({ socketPath, path, agent: false }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on("data", (chunk: Buffer) => chunks.push(chunk));
      answer.on("end", () =>
        done({
          status: answer.statusCode ?? 0,
          type: answer.headers["content-type"] ?? "",
          text: Buffer.concat(chunks).toString(),
        }),
      );
    });
    asked.on("error", fail);
    asked.end();
  });
}

/** A program loaded first by every Node below it: writes down which modules are asked for, and by whom. */
export function moduleRecorder(folder: string): { readonly nodeOptions: string; read(): string[] } {
  const file = join(folder, "modules.txt");
  const hook = join(folder, "record.mjs");
  writeFileSync(file, "");
  writeFileSync(
    hook,
    `import { registerHooks } from "node:module";
     import { appendFileSync } from "node:fs";
     registerHooks({ resolve(what, context, next) {
       const found = next(what, context);
       appendFileSync(${JSON.stringify(file)}, found.url + " for " + context.parentURL + "\\n");
       return found;
     } });`,
  );
  return {
    nodeOptions: `--import=${hook}`,
    read: () => readFileSync(file, "utf8").split("\n"),
  };
}
