/**
 * Keeps the store fed: hears events, reads the state when the stream opens or has missed something, and reads at
 * intervals what no event tells (other hosts and their VMs).
 */
import type { Agent } from "./agent.ts";
import { hear } from "./events.ts";
import { refusalOf } from "./refusal.ts";
import type { Store } from "../state/store.ts";

/** Other hosts' VMs come by no event of this agent. */
const REREAD_MS = 10_000;
/** The newest; older ones are read by the history when it is opened. */
const NEWEST = 100;

export async function feed(agent: Agent, store: Store, signal: AbortSignal): Promise<void> {
  const again = setInterval(() => void read(agent, store, signal), REREAD_MS);
  try {
    for await (const heard of hear(agent, signal)) {
      switch (heard.is) {
        case "open":
          store.tell({ type: "connection", connection: { is: "live" } });
          void read(agent, store, signal);
          break;
        case "event":
          store.tell({ type: "event", event: heard.event });
          if (heard.event.type === "missed") void read(agent, store, signal);
          break;
        case "lost":
          store.tell({ type: "connection", connection: away(store, heard.refusal) });
          break;
      }
    }
  } catch (error) {
    store.tell({ type: "connection", connection: { is: "refused", refusal: refusalOf(error) } });
  } finally {
    clearInterval(again);
  }
}

/** Since when nothing new is shown: the first loss counts, not the last attempt. */
function away(store: Store, refusal: ReturnType<typeof refusalOf>) {
  const { connection } = store.state();
  const sinceMs = connection.is === "away" ? connection.sinceMs : Date.now();
  return { is: "away", sinceMs, refusal } as const;
}

async function read(agent: Agent, store: Store, signal: AbortSignal): Promise<void> {
  if (document.visibilityState === "hidden" && store.state().vmsKnown) return;
  // A failure here is no news: the stream says whether the agent can be heard, and the next reading comes.
  const quietly = (work: Promise<void>): Promise<void> => work.catch(() => undefined);
  await Promise.all([
    quietly(agent.call("whoami", { signal }).then((me) => store.tell({ type: "me", me }))),
    quietly(agent.call("host", { signal }).then((host) => store.tell({ type: "host", host }))),
    quietly(
      agent.call("vms", { query: { scope: "all" }, signal }).then((vms) => store.tell({ type: "vms", vms })),
    ),
    quietly(
      agent
        .call("migrations", { query: { limit: NEWEST }, signal })
        .then(({ items }) => store.tell({ type: "migrations", migrations: items })),
    ),
  ]);
}
