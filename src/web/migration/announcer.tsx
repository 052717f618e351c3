/** Says to screen readers what changed: phases and outcomes, not every figure. */
import { useEffect, useState } from "react";

import type { MigrationView } from "../../api/migration.ts";
import { OUTCOME_WORDS, PHASE_WORDS } from "../words.ts";

export function Announcer({ view }: { readonly view: MigrationView }) {
  const words =
    view.outcome === undefined
      ? PHASE_WORDS[view.phase]
      : `${OUTCOME_WORDS[view.outcome]}. ${view.reason ?? ""}`;
  const [said, setSaid] = useState("");
  useEffect(() => setSaid(`${view.vm}: ${words}`), [view.vm, words]);
  return (
    <p className="gw-hidden" aria-live="polite" role="status">
      {said}
    </p>
  );
}
