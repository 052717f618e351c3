/** Asks the technique what to do now. One place, so that a technique never sees a half-told story. */
import type { MigrateSettings } from "../api/migration.ts";
import type { CopyView, Decided, DeciderMemory, Technique } from "./types.ts";

export const judge = (
  view: CopyView,
  job: { readonly settings: MigrateSettings; readonly technique: Technique },
  memory: DeciderMemory,
): Decided => job.technique.decide(view, job.settings, memory);
