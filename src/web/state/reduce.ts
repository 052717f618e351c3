/** How news changes what the dashboard knows. A percentage never runs backwards, and an ended migration stays ended. */
import type { Whoami } from "../../api/access.ts";
import type { Answer } from "../../api/client.ts";
import type { AgentEvent, VmView } from "../../api/host.ts";
import type { MigrationView } from "../../api/migration.ts";
import { vmKey, type Connection, type State } from "./state.ts";
import { addReading } from "./trail.ts";

export type News =
  | { readonly type: "connection"; readonly connection: Connection }
  | { readonly type: "me"; readonly me: Whoami }
  | { readonly type: "host"; readonly host: Answer<"host"> }
  | { readonly type: "vms"; readonly vms: readonly VmView[] }
  | { readonly type: "migrations"; readonly migrations: readonly MigrationView[] }
  | { readonly type: "event"; readonly event: AgentEvent };

/** Courses of ended migrations are dropped beyond this; recording and report bring them back. */
export const TRAILS_MAX = 24;

export const reduce = (state: State, news: readonly News[]): State => news.reduce(one, state);

function one(state: State, news: News): State {
  switch (news.type) {
    case "connection":
      return { ...state, connection: news.connection };
    case "me":
      return { ...state, me: news.me };
    case "host":
      return { ...state, host: news.host };
    case "vms":
      return {
        ...state,
        vmsKnown: true,
        vms: new Map(news.vms.map((vm) => [vmKey(vm.host, vm.name), vm])),
      };
    case "migrations":
      return news.migrations.toReversed().reduce(withMigration, state);
    case "event":
      break;
  }
  const { event } = news;
  switch (event.type) {
    case "vm": {
      const vms = new Map(state.vms).set(vmKey(event.vm.host, event.vm.name), event.vm);
      return { ...state, vms };
    }
    case "vm-gone": {
      const vms = new Map(state.vms);
      vms.delete(vmKey(state.host?.facts.name ?? "", event.name));
      return { ...state, vms };
    }
    case "migration":
      return withMigration(state, event.migration);
    case "latency": {
      const latencies = new Map(state.latencies).set(event.migration, event.latency);
      return { ...state, latencies: bounded(latencies, state.migrations) };
    }
    case "missed":
      return state;
  }
}

function withMigration(state: State, view: MigrationView): State {
  const before = state.migrations.get(view.id);
  // A person's decision lets it go on; nothing else does.
  const over = before?.outcome !== undefined && before.outcome !== "needs-person";
  if (over && view.outcome === undefined) return state;
  const kept = forward(before, view);
  const migrations = new Map(state.migrations).set(view.id, kept);
  const { progress } = kept;
  if (progress === undefined) return { ...state, migrations };
  const trail = addReading(state.trails.get(view.id) ?? [], progress);
  return { ...state, migrations, trails: bounded(new Map(state.trails).set(view.id, trail), migrations) };
}

/** The new view with a fraction that is at least the one shown, and with what a later view left out. */
function forward(before: MigrationView | undefined, news: MigrationView): MigrationView {
  const view = before?.figures === undefined ? news : { figures: before.figures, ...news };
  const shown = before?.progress;
  if (shown === undefined) return view;
  if (view.progress === undefined) return { ...view, progress: { ...shown, phase: view.phase } };
  if (view.progress.fraction >= shown.fraction) return view;
  return { ...view, progress: { ...view.progress, fraction: shown.fraction } };
}

function bounded<T>(
  courses: Map<string, T>,
  migrations: ReadonlyMap<string, MigrationView>,
): ReadonlyMap<string, T> {
  for (const id of courses.keys()) {
    if (courses.size <= TRAILS_MAX) break;
    if (migrations.get(id)?.outcome !== undefined) courses.delete(id);
  }
  return courses;
}
