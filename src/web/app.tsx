/** The dashboard: with a token a session and its pages, without one the page to enter it. */
import { useEffect, useMemo, useState } from "react";

import { Agent } from "./data/agent.ts";
import { feed } from "./data/feed.ts";
import type { Refusal } from "./data/refusal.ts";
import { SessionContext } from "./session.ts";
import { Shell } from "./shell.tsx";
import { Store, useStore } from "./state/store.ts";
import { followSystem } from "./theme.ts";
import { forgetToken, keepToken, storedToken } from "./token.ts";
import { TokenPage } from "./token-page.tsx";

export function App() {
  const [token, setToken] = useState(() => storedToken(sessionStorage));
  const [refusal, setRefusal] = useState<Refusal>();
  useEffect(followSystem, []);
  if (token === undefined) {
    const enter = (entered: string): void => {
      keepToken(sessionStorage, entered);
      setRefusal(undefined);
      setToken(entered.trim());
    };
    return <TokenPage refusal={refusal} onToken={enter} />;
  }
  const forget = (why?: Refusal): void => {
    forgetToken(sessionStorage);
    setRefusal(why);
    setToken(undefined);
  };
  return <WithToken key={token} token={token} onForget={forget} />;
}

interface WithTokenProps {
  readonly token: string;
  readonly onForget: (why?: Refusal) => void;
}

function WithToken({ token, onForget }: WithTokenProps) {
  const session = useMemo(() => ({ agent: new Agent(token), store: new Store() }), [token]);
  useEffect(() => {
    const end = new AbortController();
    void feed(session.agent, session.store, end.signal);
    return () => end.abort();
  }, [session]);
  const connection = useStore(session.store, (state) => state.connection);
  const refused = connection.is === "refused" ? connection.refusal : undefined;
  useEffect(() => {
    if (refused !== undefined) onForget(refused);
  }, [refused, onForget]);
  return (
    <SessionContext value={session}>
      <Shell onForget={() => onForget()} />
    </SessionContext>
  );
}
