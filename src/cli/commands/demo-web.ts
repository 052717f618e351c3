/**
 * godwit demo --web: the demo's lab with the dashboard in front of it. Migrations are started by hand, from the page of
 * the host the VM is on; what the lab's observers saw is added to each report as in the other demo.
 */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { setTimeout as wait } from "node:timers/promises";

import { connectAgent, type GodwitClient } from "../../api/client.ts";
import { CodedError, toCodedError } from "../../std/errors.ts";
import type { Cli } from "../context.ts";

const WEB = resolve(import.meta.dirname, "../../../dist/web/index.html");
const TOKEN_NAME = "demo";
const LOOK_MS = 1_000;

export interface Host {
  readonly name: string;
  readonly socket: string;
}

export function refuseWithoutDashboard(): void {
  if (existsSync(WEB)) return;
  throw new CodedError("USAGE", {
    problem: "The dashboard has not been built.",
    next: "npm run demo -- --web builds it; or: node scripts/build-web.ts",
  });
}

/** Serves until interrupted. `door` says where a host's agent is to be reached. */
export async function serveDashboards(
  cli: Cli,
  hosts: readonly Host[],
  door: (host: string) => Promise<string>,
  interrupted: AbortSignal,
): Promise<void> {
  cli.say("\nThe dashboards are open; each token is for its own agent and good while the lab is up:\n");
  for (const host of hosts) {
    const url = await door(host.name);
    const client = connectAgent(host.socket);
    const { token } = await client.createToken({ body: { name: TOKEN_NAME, rights: ["administer"] } });
    cli.say(`  ${host.name}:  ${url}#token=${token}`);
  }
  cli.say("\nA VM is moved from the dashboard of the host it is on. Ctrl-C ends the demo.\n");
  await Promise.all(hosts.map((host) => observeEach(cli, connectAgent(host.socket), interrupted)));
}

/**
 * Tells what is seen from outside of every migration that leaves this host: while it runs, to the pages that show it, and
 * after its end, to its report.
 */
async function observeEach(cli: Cli, client: GodwitClient, interrupted: AbortSignal): Promise<void> {
  const { attachObservations, tellLatency } = await import("../observations.ts");
  const seen = new Set<string>();
  while (!interrupted.aborted) {
    // An agent that is away, or an observer that saw nothing, is no reason to end the demo.
    const { items } = await client.migrations().catch(() => ({ items: [] }));
    for (const view of items.filter(({ side }) => side === "source")) {
      const { id, outcome } = view;
      if (outcome === undefined) await tellLatency(client, view).catch(() => undefined);
      if (outcome !== "done" || seen.has(id)) continue;
      seen.add(id);
      await attachObservations(cli, client, id).catch((error: unknown) =>
        cli.say(toCodedError(error).message),
      );
    }
    await wait(LOOK_MS, undefined, { signal: interrupted }).catch(() => undefined);
  }
}
