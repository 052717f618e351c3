/** Pre-flight of what is in the form now, asked when typing pauses; an answer to older settings counts for nothing. */
import { useEffect, useState } from "react";

import type { CheckReport } from "../../api/host.ts";
import type { MigrateRequest } from "../../api/migration.ts";
import type { Agent } from "../data/agent.ts";
import { refusalOf, type Refusal } from "../data/refusal.ts";

const TYPING_MS = 350;

export type Check =
  /** The form is not a request yet. */
  | { readonly is: "waiting" }
  | { readonly is: "asking" }
  | { readonly is: "refused"; readonly refusal: Refusal }
  | { readonly is: "there"; readonly report: CheckReport };

export function useCheck(agent: Agent, name: string, request: MigrateRequest | undefined): Check {
  const [answer, setAnswer] = useState<{ readonly to: string; readonly check: Check }>();
  const asked = request === undefined ? "" : JSON.stringify(request);
  useEffect(() => {
    if (asked === "") return undefined;
    const end = new AbortController();
    const timer = setTimeout(() => {
      agent
        .call("check", { params: { name }, body: JSON.parse(asked) as MigrateRequest, signal: end.signal })
        .then(
          (report): Check => ({ is: "there", report }),
          (error: unknown): Check => ({ is: "refused", refusal: refusalOf(error) }),
        )
        .then(
          (check) => {
            if (!end.signal.aborted) setAnswer({ to: asked, check });
          },
          () => undefined,
        );
    }, TYPING_MS);
    return () => {
      clearTimeout(timer);
      end.abort();
    };
  }, [agent, name, asked]);
  if (asked === "") return { is: "waiting" };
  return answer?.to === asked ? answer.check : { is: "asking" };
}
