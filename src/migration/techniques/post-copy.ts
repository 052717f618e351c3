/**
 * Post-copy: run at the target at once and fetch memory behind the guest (Hines, Gopalan, VEE 2009). For guests that
 * write faster than the link moves: every page crosses once, and the end is certain. While memory is in two halves
 * the guest needs both hosts, and it stalls on pages that have not come yet.
 */
import { COPIER_PAUSE_MS_MIN } from "../pause.ts";
import type { Technique } from "../types.ts";

export const postCopy: Technique = {
  name: "post-copy",
  summary: "Run at the target at once, fetch the memory after: always ends, each page crosses once.",
  needs: ["post-copy"],
  // The copier must not pause by itself before the switch.
  opening: () => ({ pauseFirst: false, fetchAtOnce: true, downtimeLimitMs: COPIER_PAUSE_MS_MIN }),
  // There is nothing to decide: a guest whose memory is in two halves can only be fetched to its end.
  decide: (_view, _settings, memory) => ({ decision: { do: "continue" }, memory }),
};
