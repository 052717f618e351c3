/** Past migrations, page after page from the newest, until all are there or there are more than anyone looks through. */
import { useEffect, useState } from "react";

import type { MigrationView } from "../../api/migration.ts";
import { PAGE_ITEMS_MAX } from "../../api/pages.ts";
import type { Agent } from "../data/agent.ts";
import { refusalOf, type Refusal } from "../data/refusal.ts";

export const LOADED_MAX = 50_000;
/** The first page is small, so that something is there at once. */
const FIRST_PAGE = 100;

export interface Loaded {
  readonly views: readonly MigrationView[];
  readonly whole: boolean;
  readonly refusal?: Refusal;
}

export function useHistory(agent: Agent, turn: number): Loaded {
  const [loaded, setLoaded] = useState<Loaded>({ views: [], whole: false });
  useEffect(() => {
    const end = new AbortController();
    void load(agent, end.signal, setLoaded);
    return () => end.abort();
  }, [agent, turn]);
  return loaded;
}

async function load(agent: Agent, signal: AbortSignal, show: (loaded: Loaded) => void): Promise<void> {
  let views: readonly MigrationView[] = [];
  let cursor: string | undefined;
  try {
    do {
      const limit = cursor === undefined ? FIRST_PAGE : PAGE_ITEMS_MAX;
      const page = await agent.call("migrations", { query: { limit, cursor }, signal });
      views = [...views, ...page.items];
      cursor = page.next ?? undefined;
      show({ views, whole: cursor === undefined });
    } while (cursor !== undefined && views.length < LOADED_MAX);
  } catch (error) {
    if (!signal.aborted) show({ views, whole: false, refusal: refusalOf(error) });
  }
}
