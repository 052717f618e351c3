/**
 * Decides which agent a verb speaks to: the one named by a flag, by $GODWIT_URL or $GODWIT_SOCKET, the host's own, or the first of
 * a running lab. In a lab the other hosts' agents are known too, so a VM or a migration is found wherever it is.
 */
import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

import { z } from "zod";

import { connectAgent, type GodwitClient } from "../api/client.ts";
import type { VmView } from "../api/host.ts";
import type { MigrationView } from "../api/migration.ts";
import { CodedError, toCodedError } from "../std/errors.ts";
import type { Cli } from "./context.ts";
import type { AgentFlags } from "./options.ts";

export const HOST_SOCKET = "/run/godwit/agent.sock";
export const DEFAULT_LAB = "default";
const HISTORY_MAX = 1000;

/** The part of the lab's record this room reads. */
const labRecord = z.object({ hosts: z.array(z.object({ name: z.string(), socket: z.string() })) });
export type LabHosts = z.infer<typeof labRecord>["hosts"];

export interface Connection {
  readonly client: GodwitClient;
  /** The lab's hosts, when the agent was found through a lab and no flag said which one. */
  readonly hosts: LabHosts;
}

export function connect(cli: Cli, flags: AgentFlags): Connection {
  if (flags.url !== undefined) {
    const other = (["socket", "host", "lab"] as const).find((name) => flags[name] !== undefined);
    if (other === undefined) return far(cli, flags.url);
    throw new CodedError("USAGE", {
      problem: `--url and --${other} both say which agent to ask.`,
      next: "Give one of them.",
    });
  }
  const named = (socket: string): Connection => ({ client: connectAgent(socket), hosts: [] });
  if (flags.socket !== undefined) {
    const other = flags.host === undefined ? flags.lab && "--lab" : "--host";
    if (other !== undefined) {
      throw new CodedError("USAGE", {
        problem: `--socket and ${other} both say which agent to ask.`,
        next: "Give one of them.",
      });
    }
    return named(flags.socket);
  }
  if (flags.host !== undefined) {
    const hosts = labHosts(cli, flags.lab ?? DEFAULT_LAB);
    const host = hosts.find((one) => one.name === flags.host);
    if (host === undefined) {
      throw new CodedError("HOST_UNKNOWN", {
        host: flags.host,
        known: hosts.map((one) => one.name).join(", "),
      });
    }
    return named(host.socket);
  }
  if (flags.lab !== undefined) return throughLab(labHosts(cli, flags.lab), flags.lab);
  const url = cli.env["GODWIT_URL"] ?? "";
  if (url !== "") return far(cli, url);
  const fromEnv = cli.env["GODWIT_SOCKET"] ?? "";
  if (fromEnv !== "") return named(fromEnv);
  if (existsSync(HOST_SOCKET) || !existsSync(labFile(cli, DEFAULT_LAB))) return named(HOST_SOCKET);
  return throughLab(labHosts(cli, DEFAULT_LAB), DEFAULT_LAB);
}

/** An agent's listener for people. The token is no flag: others on this machine can read a command line. */
function far(cli: Cli, url: string): Connection {
  const token = cli.env["GODWIT_TOKEN"] ?? "";
  if (token === "") {
    throw new CodedError("USAGE", {
      problem: `${url} asks for a token, and GODWIT_TOKEN is empty.`,
      next: "Make one on that host: godwit token create --name … --rights read,send-from-here",
    });
  }
  const caFile = cli.env["GODWIT_CA"] ?? "";
  let ca: string | undefined;
  try {
    ca = caFile === "" ? undefined : readFileSync(caFile, "utf8");
  } catch (cause) {
    throw new CodedError("USAGE", { problem: `GODWIT_CA: ${caFile} cannot be read.` }, { cause });
  }
  return { client: connectAgent({ url, token, ca }), hosts: [] };
}

function throughLab(hosts: LabHosts, lab: string): Connection {
  const first = hosts[0];
  if (first === undefined) throw new CodedError("LAB_UNKNOWN", { lab });
  return { client: connectAgent(first.socket), hosts };
}

function labFile(cli: Cli, lab: string): string {
  const own = cli.env["GODWIT_LAB_HOME"] ?? "";
  const xdg = cli.env["XDG_STATE_HOME"] ?? "";
  const state = xdg.startsWith("/") ? xdg : join(cli.env["HOME"] ?? homedir(), ".local", "state");
  return join(own === "" ? join(state, "godwit", "lab") : own, lab, "lab.json");
}

function labHosts(cli: Cli, lab: string): LabHosts {
  try {
    return labRecord.parse(JSON.parse(readFileSync(labFile(cli, lab), "utf8"))).hosts;
  } catch (error) {
    throw new CodedError("LAB_UNKNOWN", { lab }, { cause: error });
  }
}

/** Every agent the connection knows, the one to ask first at the front. */
export const clientsOf = (connection: Connection): readonly GodwitClient[] => [
  connection.client,
  ...connection.hosts
    .filter((host) => host.socket !== connection.client.socketPath)
    .map((host) => connectAgent(host.socket)),
];

/** A VM and the agent that owns it. Without a lab the agent asked refers to the right one by itself. */
export async function findVm(
  connection: Connection,
  name: string,
): Promise<{ readonly client: GodwitClient; readonly vm: VmView }> {
  const vms = (await connection.client.vms({ query: { scope: "all" } })).filter((vm) => vm.name === name);
  // During a migration both hosts show it; the owner is the one to ask.
  const vm = vms.find((one) => one.owner === one.host) ?? vms[0];
  if (vm === undefined) throw new CodedError("VM_UNKNOWN", { vm: name, where: "this host and its peers" });
  const host = connection.hosts.find((one) => one.name === vm.host);
  return { client: host === undefined ? connection.client : connectAgent(host.socket), vm };
}

export interface Found {
  readonly client: GodwitClient;
  readonly view: MigrationView;
}

/** Migrations of all known agents, newest first; of two sides of one, the source's. */
export async function allMigrations(
  connection: Connection,
  query: { readonly vm?: string | undefined; readonly limit?: number } = {},
): Promise<readonly Found[]> {
  const clients = clientsOf(connection);
  const answers = await Promise.allSettled(
    clients.map(async (client) =>
      (await client.migrations({ query: { limit: HISTORY_MAX, ...query } })).items.map((view): Found => ({
        client,
        view,
      })),
    ),
  );
  const first = answers[0];
  // One host of a lab may be down; but an answer of nobody is a refusal.
  if (first?.status === "rejected" && answers.every((one) => one.status === "rejected")) {
    throw toCodedError(first.reason);
  }
  const byId = new Map<string, Found>();
  for (const found of answers.flatMap((one) => (one.status === "fulfilled" ? one.value : []))) {
    if (!byId.has(found.view.id) || found.view.side === "source") byId.set(found.view.id, found);
  }
  return [...byId.values()].sort((a, b) => b.view.startedAt.localeCompare(a.view.startedAt));
}

/** The migration of this id, or the newest of the VM of this name. */
export async function findMigration(connection: Connection, idOrVm: string): Promise<Found> {
  const all = await allMigrations(connection);
  const found =
    all.find(({ view }) => view.id === idOrVm) ??
    all.find(({ view }) => view.vm === idOrVm && view.outcome === undefined) ??
    all.find(({ view }) => view.vm === idOrVm);
  return found ?? olderOne(connection, idOrVm);
}

/** One that is not among the newest, by its id. */
async function olderOne(connection: Connection, id: string): Promise<Found> {
  const answers = await Promise.allSettled(
    clientsOf(connection).map(async (client) => ({
      client,
      view: await client.migration({ params: { id } }),
    })),
  );
  const found = answers.flatMap((one) => (one.status === "fulfilled" ? one.value : []));
  const one = found.find(({ view }) => view.side === "source") ?? found[0];
  if (one === undefined) throw new CodedError("MIGRATION_UNKNOWN", { migration: id });
  return one;
}
