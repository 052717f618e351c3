/** What the fleet page shows of all VMs: one row per VM, counted by host and state, found by words. */
import { VM_STATES, type PeerView, type VmView } from "../../api/host.ts";
import type { MigrationView } from "../../api/migration.ts";
import type { Answer } from "../../api/client.ts";

export type VmState = VmView["state"];

export interface VmFilter {
  /** Words that must all occur in name, host or labels. */
  readonly text: string;
  readonly host: string | undefined;
  readonly states: ReadonlySet<VmState>;
}

export const NO_FILTER: VmFilter = { text: "", host: undefined, states: new Set() };

/** While one migrates two hosts have it: the owner's word counts. */
export function vmRows(vms: Iterable<VmView>): readonly VmView[] {
  const rows = new Map<string, VmView>();
  for (const vm of vms) {
    const before = rows.get(vm.name);
    if (before === undefined || (vm.owner === vm.host && before.owner !== before.host)) rows.set(vm.name, vm);
  }
  return [...rows.values()].sort((a, b) => byName(a.name, b.name));
}

const collator = new Intl.Collator("en", { numeric: true });
const byName = (a: string, b: string): number => collator.compare(a, b);

export function matching(rows: readonly VmView[], { text, host, states }: VmFilter): readonly VmView[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return rows.filter((vm) => {
    if (host !== undefined && vm.host !== host) return false;
    if (states.size > 0 && !states.has(vm.state)) return false;
    if (words.length === 0) return true;
    const labels = Object.entries(vm.machine.metadata.labels).map(([key, value]) => `${key}=${value}`);
    const hay = [vm.name, vm.host, vm.state, ...labels].join(" ").toLowerCase();
    return words.every((word) => hay.includes(word));
  });
}

export interface HostCard {
  readonly name: string;
  readonly here: boolean;
  readonly reachable: boolean;
  readonly detail: string;
  readonly memoryBytes: number;
  readonly counts: Readonly<Record<VmState, number>>;
  readonly vms: number;
}

export function hostCards(host: Answer<"host"> | undefined, rows: readonly VmView[]): readonly HostCard[] {
  const known: readonly PeerView[] =
    host === undefined
      ? []
      : [{ name: host.facts.name, address: "", reachable: true, detail: "" }, ...host.peers];
  const named = new Set(known.map((one) => one.name));
  const others = [...new Set(rows.map((vm) => vm.host))].filter((name) => !named.has(name));
  const all = [...known, ...others.map((name) => ({ name, address: "", reachable: true, detail: "" }))];
  return all.map(({ name, reachable, detail }) => {
    const here = rows.filter((vm) => vm.host === name);
    const counts = Object.fromEntries(
      VM_STATES.map((state) => [state, here.filter((vm) => vm.state === state).length]),
    ) as Record<VmState, number>;
    return {
      name,
      here: name === host?.facts.name,
      reachable,
      detail,
      counts,
      vms: here.length,
      memoryBytes: here.reduce((sum, vm) => sum + vm.memoryBytes, 0),
    };
  });
}

/** Those under way: first the ones that need a person, then the newest; a migration seen from both sides is one. */
export const underWay = (migrations: Iterable<MigrationView>): readonly MigrationView[] =>
  [...migrations]
    .filter((view) => view.outcome === undefined || view.outcome === "needs-person")
    .sort(
      (a, b) =>
        Number(b.outcome === "needs-person") - Number(a.outcome === "needs-person") ||
        b.startedAt.localeCompare(a.startedAt),
    );

/** Why this agent cannot start a migration of that VM now; empty when it can. */
export function whyNot(vm: VmView, here: string | undefined): string {
  if (vm.migration !== null) return "It is migrating already.";
  if (vm.host !== here) return `Start it from ${vm.host}.`;
  if (vm.state !== "running" && vm.state !== "paused") return `It is ${vm.state}.`;
  return "";
}
