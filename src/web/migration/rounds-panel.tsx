/** Rounds on a time line: as wide as they took, as tall as what they sent; converging is to be seen at once. */
import { formatBytes, formatDuration } from "../../std/units.ts";
import type { RoundBar } from "../scene/rounds.ts";

interface Props {
  readonly rounds: readonly RoundBar[];
  readonly endMs: number;
}

/** A round that is over in a blink is still a line to be seen, and one that sent little still stands. */
const WIDTH_MIN_PERCENT = 0.6;
const HEIGHT_MIN_PERCENT = 3;
const LABELLED_MAX = 12;

export function RoundsPanel({ rounds, endMs }: Props) {
  const most = Math.max(1, ...rounds.map((one) => one.sentBytes));
  const whole = Math.max(1, endMs, ...rounds.map((one) => one.endMs));
  return (
    <section className="gw-card" aria-labelledby="rounds-title">
      <h2 id="rounds-title" className="gw-panel-title">
        Rounds {rounds.length > 0 ? <span className="gw-count">{rounds.length}</span> : null}
      </h2>
      {rounds.length === 0 ? (
        <p className="gw-panel-empty">No round yet.</p>
      ) : (
        <>
          <div className="gw-rounds" aria-hidden="true">
            {rounds.map(({ round, startMs, endMs: end, sentBytes }) => (
              <div
                key={round}
                style={{
                  insetInlineStart: `${(startMs / whole) * 100}%`,
                  inlineSize: `max(${WIDTH_MIN_PERCENT}%, calc(${((end - startMs) / whole) * 100}% - 2px))`,
                  blockSize: `${Math.max(HEIGHT_MIN_PERCENT, (sentBytes / most) * 100)}%`,
                }}
                title={`Round ${round}: ${formatBytes(sentBytes)} in ${formatDuration(end - startMs)}`}
              >
                {rounds.length <= LABELLED_MAX && (end - startMs) / whole > 0.04 ? (
                  <span>{round}</span>
                ) : null}
              </div>
            ))}
          </div>
          <div className="gw-rounds-axis" aria-hidden="true">
            <span>0</span>
            <span>{formatDuration(whole)}</span>
          </div>
          <div className="gw-scroll" tabIndex={0} role="region" aria-label="Rounds, table">
            <table>
              <thead>
                <tr>
                  <th scope="col">Round</th>
                  <th scope="col">Took</th>
                  <th scope="col">Sent</th>
                  <th scope="col">Left after</th>
                </tr>
              </thead>
              <tbody>
                {rounds.map((one) => (
                  <tr key={one.round}>
                    <th scope="row">{one.round}</th>
                    <td>{formatDuration(one.endMs - one.startMs)}</td>
                    <td>{formatBytes(one.sentBytes)}</td>
                    <td>{formatBytes(one.leftBytes)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </>
      )}
    </section>
  );
}
