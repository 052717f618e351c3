/** How techniques that copy a running guest begin: with a short pause allowed, however long a one was asked for. */
import { askedPauseMs, copierPauseMs, FIRST_PAUSE_MS } from "./pause.ts";
import type { Opening } from "./types.ts";
import type { MigrateSettings } from "../api/migration.ts";

export const copyingOpening = (settings: MigrateSettings): Opening => ({
  pauseFirst: false,
  fetchAtOnce: false,
  downtimeLimitMs: Math.min(FIRST_PAUSE_MS, copierPauseMs(askedPauseMs(settings))),
});
