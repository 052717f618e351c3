/**
 * How techniques that copy a running guest begin: the pause asked for, or the one the policy's initial items name.
 */
import { copierPauseMs } from "./pause.ts";
import type { Opening } from "./types.ts";
import type { MigrateSettings } from "../api/migration.ts";

export function copyingOpening(settings: MigrateSettings): Opening {
  let askedMs = settings.maxDowntimeMs;
  for (const action of settings.policy.initial) {
    if (action.do === "set-downtime") askedMs = action.downtimeMs;
  }
  return { pauseFirst: false, fetchAtOnce: false, downtimeLimitMs: copierPauseMs(askedMs) };
}
