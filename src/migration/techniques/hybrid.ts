/**
 * Hybrid: copy for a while, then run at the target and fetch what is still dirty (Sahni and Varma, 2012; the only
 * form of post-copy QEMU has). For busy guests: memory that is only read is there already, so only the written set
 * faults. The risk of post-copy applies from the switch on.
 */
import { decideWith } from "../decide.ts";
import { copyingOpening } from "../opening.ts";
import { allowedPauseMs } from "../pause.ts";
import { timeToFetch } from "../switch-rules.ts";
import { adaptDowntime } from "../working-set.ts";
import type { Technique } from "../types.ts";

export const hybrid: Technique = {
  name: "hybrid",
  summary: "Copy for some rounds, then run at the target and fetch the rest: always ends, fewer faults.",
  needs: ["pause", "pre-copy", "post-copy"],
  opening: copyingOpening,
  decide: decideWith((view, settings) => {
    const because = timeToFetch(view, settings.switchRule, allowedPauseMs(view, settings));
    return because === null ? adaptDowntime(view, settings) : { do: "fetch", because };
  }),
};
