/** Which past migrations are shown: what was asked, against what is loaded. */
import type { MigrationView, Outcome, TechniqueName } from "../../api/migration.ts";

export interface HistoryFilter {
  readonly text: string;
  readonly outcome: Outcome | "active" | undefined;
  readonly technique: TechniqueName | undefined;
  readonly since: Since;
}

export const SINCE = ["all", "hour", "day", "week", "month"] as const;
export type Since = (typeof SINCE)[number];
const SINCE_MS: Readonly<Record<Since, number>> = {
  all: Infinity,
  hour: 3600e3,
  day: 86_400e3,
  week: 7 * 86_400e3,
  month: 31 * 86_400e3,
};

export const NO_HISTORY_FILTER: HistoryFilter = {
  text: "",
  outcome: undefined,
  technique: undefined,
  since: "all",
};

export function pastMatching(
  views: readonly MigrationView[],
  { text, outcome, technique, since }: HistoryFilter,
  nowMs: number,
): readonly MigrationView[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const from = since === "all" ? "" : new Date(nowMs - SINCE_MS[since]).toISOString();
  return views.filter((view) => {
    if (outcome !== undefined && (view.outcome ?? "active") !== outcome) return false;
    if (technique !== undefined && view.technique !== technique) return false;
    if (view.startedAt < from) return false;
    if (words.length === 0) return true;
    const hay =
      `${view.vm} ${view.id} ${view.source} ${view.target} ${view.technique} ${view.code ?? ""}`.toLowerCase();
    return words.every((word) => hay.includes(word));
  });
}

/** ISO dates compare as plain text; this runs over ten thousand twice a second. */
const newestFirst = (a: MigrationView, b: MigrationView): number =>
  a.startedAt === b.startedAt ? 0 : a.startedAt < b.startedAt ? 1 : -1;

/** Loaded pages and live views as one list, newest first: what is live is newer than what was loaded. */
export function merged(
  loaded: readonly MigrationView[],
  live: ReadonlyMap<string, MigrationView>,
): readonly MigrationView[] {
  const known = new Set(loaded.map((view) => view.id));
  const fresh = [...live.values()].filter((view) => !known.has(view.id));
  // An event brings no figures; a list read before may have.
  const now = (view: MigrationView): MigrationView => ({ ...view, ...live.get(view.id) });
  return [...fresh, ...loaded.map((view) => (live.has(view.id) ? now(view) : view))].sort(newestFirst);
}
