/** Whether what is shown is what is: a small state in the header, and a bar across the page when it is not. */
import { useEffect, useState } from "react";

import { formatDuration } from "../../std/units.ts";
import { useKnown } from "../session.ts";

const WORDS = { connecting: "Connecting", live: "Live", away: "Lost", refused: "Refused" } as const;
/** A restart of an agent takes a moment and is no reason to shout. */
const QUIET_MS = 1_500;

export function ConnectionState() {
  const connection = useKnown((state) => state.connection);
  const host = useKnown((state) => state.host?.facts.name);
  return (
    <span className="gw-connection" data-is={connection.is}>
      <span className="gw-dot" aria-hidden="true" />
      <span role="status">{WORDS[connection.is]}</span>
      {host === undefined ? null : <span className="gw-connection-host">{host}</span>}
    </span>
  );
}

export function ConnectionBar() {
  const connection = useKnown((state) => state.connection);
  const sinceMs = connection.is === "away" ? connection.sinceMs : undefined;
  const now = useNow(sinceMs !== undefined);
  if (connection.is !== "away" || sinceMs === undefined || now - sinceMs < QUIET_MS) return null;
  const { code, what, next } = connection.refusal;
  return (
    <div className="gw-connection-bar" role="alert">
      <strong>
        {what} <code>{code}</code>
      </strong>
      <span>
        {next} What you see is {formatDuration(Math.floor((now - sinceMs) / 1000) * 1000)} old.
      </span>
    </div>
  );
}

function useNow(ticking: boolean): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    if (!ticking) return undefined;
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, [ticking]);
  return now;
}
