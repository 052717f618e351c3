/** How far a migration is, as a bar. */
import type { MigrationView } from "../../api/migration.ts";
import { OUTCOME_TONES, PHASE_TONES } from "../words.ts";

interface Props {
  readonly view: MigrationView;
  readonly label: string;
}

export function Meter({ view, label }: Props) {
  const percent = Math.floor((view.progress?.fraction ?? (view.outcome === "done" ? 1 : 0)) * 100);
  const tone = view.outcome === undefined ? PHASE_TONES[view.phase] : OUTCOME_TONES[view.outcome];
  return (
    <div
      className="gw-meter"
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={percent}
      data-tone={tone}
    >
      <div style={{ inlineSize: `${percent}%` }} />
    </div>
  );
}
