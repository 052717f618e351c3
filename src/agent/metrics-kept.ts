/**
 * Which migrations a scrape is shown, and how many ended how: pure, from the agent's events. A migration is often
 * shorter than a scrape interval, so an ended one stays for late scrapes; never more than a named number of them.
 */
import type { AgentEvent, VmView } from "../api/host.ts";
import type { MigrationView } from "../api/migration.ts";
import { endingKey } from "./metrics.ts";

/** Ended migrations that are shown: the newest, and none longer than this. */
export const ENDED_MAX = 50;
export const ENDED_KEPT_MS = 15 * 60_000;

export interface Kept {
  /** In the order they were first seen, or ended. */
  readonly migrations: ReadonlyMap<
    string,
    { readonly view: MigrationView; readonly endedAtMs: number | null }
  >;
  readonly ended: ReadonlyMap<string, number>;
}

/** A migration that waits for a person has an outcome and is not over. The target only holds what its source decides. */
const waits = (view: MigrationView): boolean => view.side === "source" && view.outcome === "needs-person";
const over = (view: MigrationView): boolean => view.outcome !== undefined && !waits(view);

/**
 * What was under way when the agent started, before it resumes anything. A person who ended a VM whose migration
 * waited for them has given that migration up.
 */
export function keptAtStart(
  views: readonly MigrationView[],
  vms: readonly Pick<VmView, "migration">[],
): Kept {
  const held = new Set(vms.map((vm) => vm.migration));
  const open = views.filter((view) => !over(view) && (!waits(view) || held.has(view.id)));
  return {
    migrations: new Map(open.map((view) => [view.id, { view, endedAtMs: null }])),
    ended: new Map(),
  };
}

export function keptAfter(kept: Kept, event: AgentEvent, nowMs: number): Kept {
  const migrations = new Map(kept.migrations);
  if (event.type === "vm-gone") {
    for (const [id, { view, endedAtMs }] of kept.migrations)
      if (view.vm === event.name && waits(view)) migrations.set(id, { view, endedAtMs: endedAtMs ?? nowMs });
    return { ...kept, migrations };
  }
  if (event.type !== "migration") return kept;
  const { migration: view } = event;
  const before = kept.migrations.get(view.id);
  const endedAtMs = over(view) ? (before?.endedAtMs ?? nowMs) : null;
  // The newest ending last, so that the oldest is dropped first.
  if (endedAtMs !== null && (before?.endedAtMs ?? null) === null) migrations.delete(view.id);
  migrations.set(view.id, { view, endedAtMs });
  const next = { ...kept, migrations: withoutOld(migrations, nowMs) };
  // One migration, one count: the source's.
  if (view.side !== "source" || view.outcome === undefined || view.outcome === before?.view.outcome)
    return next;
  const key = endingKey(view.outcome, view.technique, view.path);
  return { ...next, ended: new Map(kept.ended).set(key, (kept.ended.get(key) ?? 0) + 1) };
}

/** What a scrape now is shown. */
export const withoutOld = (migrations: Kept["migrations"], nowMs: number): Kept["migrations"] => {
  const all = [...migrations];
  const ended = all.filter(([, { endedAtMs }]) => endedAtMs !== null);
  const dropped = new Set(
    ended
      .filter(
        ([, one], i) => i < ended.length - ENDED_MAX || nowMs - (one.endedAtMs ?? nowMs) > ENDED_KEPT_MS,
      )
      .map(([id]) => id),
  );
  return dropped.size === 0 ? migrations : new Map(all.filter(([id]) => !dropped.has(id)));
};
