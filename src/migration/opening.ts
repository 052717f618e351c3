/** How techniques that copy a running guest begin: with a short pause allowed, however long a one was asked for. */
import { askedPauseMs, copierPauseMs, FIRST_PAUSE_MS, FIRST_RELAYED_PAUSE_MS } from "./pause.ts";
import type { Technique } from "./types.ts";

export const copyingOpening: Technique["opening"] = (settings, path) => ({
  pauseFirst: false,
  fetchAtOnce: false,
  downtimeLimitMs: Math.min(
    path === "relay" ? FIRST_RELAYED_PAUSE_MS : FIRST_PAUSE_MS,
    copierPauseMs(askedPauseMs(settings)),
  ),
});
