/** What every page needs: the agent it speaks to and the store it reads from. */
import { createContext, use } from "react";

import { allows, type Right } from "../api/access.ts";
import type { Agent } from "./data/agent.ts";
import type { State } from "./state/state.ts";
import { useStore, type Store } from "./state/store.ts";

export interface Session {
  readonly agent: Agent;
  readonly store: Store;
}

export const SessionContext = createContext<Session | undefined>(undefined);

export function useSession(): Session {
  const session = use(SessionContext);
  if (session === undefined) throw new Error("a page outside a session");
  return session;
}

export const useKnown = <T>(pick: (state: State) => T): T => useStore(useSession().store, pick);

/** Until the agent has said who we are, nothing is offered that might be refused. */
export const useRight = (right: Right): boolean =>
  useKnown((state) => state.me !== undefined && allows(state.me.rights, right));
