/** Removes what nothing can need any more: dead QEMUs' records and folders, targets that promised never to run, relays. */
import type { AgentConfig } from "./config.ts";
import { sweepRelays } from "./relay-side.ts";
import { SourceRun } from "./source-run.ts";
import type { TargetRun } from "./target-run.ts";
import type { Vms } from "./vms.ts";

export interface Cleanable {
  readonly config: AgentConfig;
  readonly vms: Vms;
  readonly sources: ReadonlyMap<string, SourceRun>;
  readonly targets: ReadonlyMap<string, TargetRun>;
}

export async function cleanUp(all: Cleanable): Promise<{ removed: string[]; kept: string[] }> {
  const { config, vms, sources, targets } = all;
  const removed: string[] = [];
  const kept: string[] = [];
  const relays = await sweepRelays(config.stateDir, unfinished(all));
  if (relays > 0)
    removed.push(`${relays} ${relays === 1 ? "relay" : "relays"} of migrations that have ended`);
  for (const vm of vms.list()) {
    const run = vm.migration === null ? undefined : (sources.get(vm.migration) ?? targets.get(vm.migration));
    // A source that waits for a person may hold the only copy, or pages the target still needs.
    const waits = run instanceof SourceRun && run.state.phase === "needs-person" && vm.pid !== null;
    const active = run instanceof SourceRun ? !run.finished || waits : run !== undefined && !run.final;
    if (active) {
      const how = waits ? "needs a person" : "is still under way";
      kept.push(`${vm.name}: migration ${String(vm.migration)} ${how}`);
    } else if (vm.owner !== config.name) {
      // A target that was given up a moment ago ends when its source has let go.
      if (run !== undefined && !(run instanceof SourceRun)) await run.removed;
      await vms.remove(vm.name);
      removed.push(`${vm.name}: left over from ${String(vm.migration)}; it belongs to ${vm.owner}`);
    } else if (vm.pid === null) {
      await vms.remove(vm.name);
      removed.push(`${vm.name}: its QEMU has ended`);
    }
  }
  return { removed, kept };
}

/** Migrations that may still have a relay; those of a side that has ended end theirs themselves. */
function unfinished({ sources, targets }: Cleanable): ReadonlySet<string> {
  const open = [
    ...[...sources.values()].filter(
      (run) => !run.finished || run.endingRelay || run.state.phase === "needs-person",
    ),
    ...[...targets.values()].filter((run) => !run.final || run.endingRelay),
  ];
  return new Set(open.map((run) => run.id));
}
