/**
 * Pre-copy: copy while the guest runs, round after round, and pause it for the rest (Clark et al., NSDI 2005). The
 * default: a failure before hand-over leaves the guest where it was. Ends by itself when the guest writes less than
 * the link moves; otherwise by adaptive downtime (Piao et al., 2014), a stop rule or the policy.
 */
import { decideWith } from "../decide.ts";
import { copyingOpening } from "../opening.ts";
import { adaptDowntime } from "../working-set.ts";
import type { Technique } from "../types.ts";

export const preCopy: Technique = {
  name: "pre-copy",
  summary: "Copy while the guest runs, pause for the rest: short pause, safe until hand-over.",
  needs: ["pause", "pre-copy"],
  opening: copyingOpening,
  decide: decideWith(adaptDowntime),
};
