/** What moves now, each with how far it is and how long it will take. */
import type { MigrationView } from "../../api/migration.ts";
import { formatDuration } from "../../std/units.ts";
import { hrefOf } from "../route.ts";
import { Meter } from "../ui/meter.tsx";
import { ToneLabel } from "../ui/tone.tsx";
import { PHASE_TONES, PHASE_WORDS } from "../words.ts";

const SHOWN_MAX = 6;

export function UnderWay({ views }: { readonly views: readonly MigrationView[] }) {
  if (views.length === 0) return null;
  return (
    <section aria-labelledby="moving-title">
      <div className="gw-section-head">
        <h2 id="moving-title">Moving now</h2>
        <span className="gw-count">{views.length}</span>
      </div>
      <ul className="gw-moving">
        {views.slice(0, SHOWN_MAX).map((view) => (
          <li key={view.id}>
            <MovingCard view={view} />
          </li>
        ))}
      </ul>
      {views.length > SHOWN_MAX ? <a href="#/history">and {views.length - SHOWN_MAX} more</a> : null}
    </section>
  );
}

function MovingCard({ view }: { readonly view: MigrationView }) {
  const { progress } = view;
  return (
    <a className="gw-card gw-moving-card" href={hrefOf({ page: "migration", id: view.id })}>
      <span className="gw-moving-head">
        <strong>{view.vm}</strong>
        <ToneLabel tone={PHASE_TONES[view.phase]}>{PHASE_WORDS[view.phase]}</ToneLabel>
      </span>
      <span className="gw-route">
        {view.source} <span aria-hidden="true">→</span>
        <span className="gw-hidden">to</span> {view.target}
        <small>{view.technique}</small>
      </span>
      <Meter view={view} label={`${view.vm} to ${view.target}`} />
      <span className="gw-moving-foot">
        {view.outcome === undefined ? (
          <>
            <span className="gw-number">{Math.floor((progress?.fraction ?? 0) * 100)} %</span>
            <span>{progress?.eta === undefined ? "" : `about ${formatDuration(progress.eta.ms)} left`}</span>
          </>
        ) : (
          <span>{view.reason}</span>
        )}
      </span>
    </a>
  );
}
