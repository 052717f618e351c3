/** Where the pause went, part by part, and what each observer saw of it. */
import type { MigrationView } from "../../api/migration.ts";
import type { Report } from "../../api/report.ts";
import { formatDuration } from "../../std/units.ts";
import { pauseParts } from "../scene/downtime.ts";
import { phasesOfTrail } from "../scene/rounds.ts";
import type { Trail } from "../state/trail.ts";

interface Props {
  readonly view: MigrationView;
  readonly trail: Trail;
  readonly report: Report | undefined;
}

export function PausePanel({ view, trail, report }: Props) {
  return (
    <section className="gw-card" aria-labelledby="pause-title">
      <h2 id="pause-title" className="gw-panel-title">
        The pause
      </h2>
      {report === undefined ? <Live view={view} trail={trail} /> : <Broken report={report} />}
    </section>
  );
}

function Live({ view, trail }: { readonly view: MigrationView; readonly trail: Trail }) {
  const spans = phasesOfTrail(trail).filter(({ phase }) => phase === "switching" || phase === "handing-over");
  const ms = spans.reduce((sum, span) => sum + span.endMs - span.startMs, 0);
  if (spans.length === 0) {
    return (
      <p className="gw-panel-empty">
        {view.outcome === undefined ? "The guest has not been paused yet." : "It ended without a pause."}
      </p>
    );
  }
  return (
    <p className="gw-panel-empty">
      {view.outcome === undefined && (view.phase === "switching" || view.phase === "handing-over")
        ? `The guest is paused, for ${formatDuration(ms)} so far.`
        : `The guest was paused for about ${formatDuration(ms)}; the report will break it up.`}
    </p>
  );
}

function Broken({ report }: { readonly report: Report }) {
  const parts = pauseParts(report);
  const { downtime_ms, postcopy } = report.metrics;
  const whole = parts.reduce((sum, part) => sum + part.endMs - part.startMs, 0);
  const seen: readonly (readonly [string, number | null])[] = [
    ["hosts", downtime_ms.vm],
    ["a client", downtime_ms.client],
    ["the guest", downtime_ms.guest],
    ["QEMU, source", downtime_ms.qemu],
  ];
  const longest = Math.max(1, ...seen.map(([, ms]) => ms ?? 0));
  return (
    <>
      {parts.length === 0 ? (
        <p className="gw-panel-empty">
          {report.outcome === "done"
            ? "The hosts share no clock: the pause cannot be broken up."
            : report.outcome === "needs-person"
              ? "How it ends is not decided yet."
              : "The guest did not change hosts."}
        </p>
      ) : (
        <>
          <div className="gw-pause-bar" aria-hidden="true">
            {parts.map((part, index) => (
              <div
                key={part.startMs}
                data-part={index % 5}
                style={{ flexGrow: part.endMs - part.startMs }}
                title={part.what}
              />
            ))}
          </div>
          <ol className="gw-pause-parts" aria-label={`Parts of the pause of ${formatDuration(whole)}`}>
            {parts.map((part, index) => (
              <li key={part.startMs} data-part={index % 5}>
                <span>
                  {part.what} <small>({part.host})</small>
                </span>
                <b className="gw-number">{formatDuration(part.endMs - part.startMs)}</b>
              </li>
            ))}
          </ol>
        </>
      )}
      <h3>As seen by</h3>
      <ul className="gw-seen">
        {seen.map(([who, ms]) => (
          <li key={who}>
            <span>{who}</span>
            <span className="gw-seen-bar" aria-hidden="true">
              <span style={{ inlineSize: `${((ms ?? 0) / longest) * 100}%` }} />
            </span>
            <b className="gw-number">{ms === null ? "not observed" : formatDuration(ms)}</b>
          </li>
        ))}
      </ul>
      {postcopy === null ? null : (
        <p className="gw-panel-foot">
          While fetching, all vCPUs were blocked for{" "}
          {postcopy.blocktime_ms === null ? "a time nobody observed" : formatDuration(postcopy.blocktime_ms)};{" "}
          {postcopy.page_requests ?? "an unknown number of"} pages were asked for.
        </p>
      )}
    </>
  );
}
