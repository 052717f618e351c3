/** A line for each phase of a migration and each coming, going and change of state of a VM: the events, as the log has them. */
import type { AgentEvent } from "../api/host.ts";
import type { MigrationView } from "../api/migration.ts";
import type { EventHub } from "./events.ts";
import type { Log } from "./log.ts";

/** Things whose last line is remembered, so that it is not said again. */
const REMEMBERED_MAX = 1000;

export function logEvents(hub: EventHub, log: Log): () => void {
  const last = new Map<string, string>();
  const isNews = (key: string, now: string): boolean => {
    if (last.get(key) === now) return false;
    last.delete(key);
    last.set(key, now);
    const [oldest] = last.keys();
    if (last.size > REMEMBERED_MAX && oldest !== undefined) last.delete(oldest);
    return true;
  };
  return hub.subscribe(({ event }) => {
    switch (event.type) {
      case "migration":
        if (isNews(event.migration.id, `${event.migration.phase} ${event.migration.outcome}`))
          sayMigration(log, event.migration);
        return;
      case "vm":
        if (isNews(`vm ${event.vm.name}`, event.vm.state)) sayVm(log, event.vm);
        return;
      case "vm-gone":
        last.delete(`vm ${event.name}`);
        return log.info({ vm: event.name }, "vm gone");
      case "latency":
      case "missed":
        return;
    }
  });
}

type Vm = Extract<AgentEvent, { type: "vm" }>["vm"];

const sayVm = (log: Log, { name: vm, state, owner, migration }: Vm): void =>
  log[state === "lost" ? "error" : "info"](
    { vm, state, owner, ...(migration === null ? {} : { migration }) },
    `vm ${state}`,
  );

function sayMigration(log: Log, { id: migration, vm, side, phase, outcome, ...view }: MigrationView): void {
  const fields = { migration, vm, side, phase, source: view.source, target: view.target };
  if (outcome === undefined) return log.info(fields, `migration ${phase}`);
  const ended = {
    ...fields,
    outcome,
    reason: view.reason,
    ...(view.code === undefined ? {} : { code: view.code }),
  };
  const level =
    outcome === "needs-person" ? "error" : ["done", "cancelled"].includes(outcome) ? "info" : "warn";
  log[level](ended, `migration ${outcome}`);
}
