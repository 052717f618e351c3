/**
 * Stop-and-copy: pause, copy everything, run at the target. For guests that may stand still, and as the floor every
 * comparison needs: the least data and the shortest total time, with a pause as long as the copy. Older than live
 * migration itself; the baseline of Clark et al. (NSDI 2005).
 */
import { copierPauseMs } from "../pause.ts";
import { giveUp, timedOut } from "../policy.ts";
import type { Technique } from "../types.ts";

export const stopAndCopy: Technique = {
  name: "stop-and-copy",
  summary: "Pause first, then copy: least data, longest pause.",
  needs: ["pause"],
  opening: (settings) => ({
    pauseFirst: true,
    fetchAtOnce: false,
    downtimeLimitMs: copierPauseMs(settings.maxDowntimeMs),
  }),
  // Nothing is written while the guest is paused, so no rule about rounds applies. Only time can run out.
  decide: (view, settings, memory) => {
    if (memory.ended !== null || !timedOut(view, settings)) return { decision: { do: "continue" }, memory };
    const because =
      "The timeout has passed while the guest was paused for copying: it runs on at the source.";
    return { decision: giveUp(view, settings, because), memory: { ...memory, ended: "give-up" } };
  },
};
