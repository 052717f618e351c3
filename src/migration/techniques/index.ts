/** The one table of techniques. A new technique is one file beside this one and one line here. */
import { hybrid } from "./hybrid.ts";
import { postCopy } from "./post-copy.ts";
import { preCopy } from "./pre-copy.ts";
import { stopAndCopy } from "./stop-and-copy.ts";
import type { Capability, Technique } from "../types.ts";
import type { MigrateSettings, TechniqueName } from "../../api/migration.ts";

export const techniques: Record<TechniqueName, Technique> = {
  "stop-and-copy": stopAndCopy,
  "pre-copy": preCopy,
  "post-copy": postCopy,
  hybrid,
};

/** What both hosts must be able to do: the technique's needs, and those of a policy that may switch to fetching. */
export function capabilitiesNeeded(settings: MigrateSettings): readonly Capability[] {
  const { initial, convergence, last } = settings.policy;
  const actions = [...initial, ...convergence.map((item) => item.action), ...last];
  const needs = new Set(techniques[settings.technique].needs);
  if (needs.has("pre-copy") && actions.some((action) => action.do === "post-copy")) needs.add("post-copy");
  return [...needs];
}
