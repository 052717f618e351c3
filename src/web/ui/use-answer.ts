/** One answer of the agent, asked again when what it is about changes or a person asks. */
import { useCallback, useEffect, useState } from "react";

import { refusalOf, type Refusal } from "../data/refusal.ts";

export type Asked<T> =
  | { readonly is: "asking" }
  | { readonly is: "refused"; readonly refusal: Refusal }
  | { readonly is: "there"; readonly value: T };

export function useAnswer<T>(
  ask: (signal: AbortSignal) => Promise<T>,
  about: string,
): readonly [Asked<T>, () => void] {
  const [asked, setAsked] = useState<Asked<T>>({ is: "asking" });
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    const end = new AbortController();
    ask(end.signal).then(
      (value) => {
        if (!end.signal.aborted) setAsked({ is: "there", value });
      },
      (error: unknown) => {
        if (!end.signal.aborted) setAsked({ is: "refused", refusal: refusalOf(error) });
      },
    );
    return () => end.abort();
    // `about` names all that `ask` depends on.
  }, [about, turn]);
  return [asked, useCallback(() => setTurn((now) => now + 1), [])];
}
