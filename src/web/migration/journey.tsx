/** From here to there: how far, how long still with its range, and the one sentence that says what limits it. */
import type { MigrationView, Progress } from "../../api/migration.ts";
import type { Report } from "../../api/report.ts";
import { formatBytes, formatDuration, formatRate } from "../../std/units.ts";
import type { Trail } from "../state/trail.ts";
import { OUTCOME_TONES, PHASE_TONES } from "../words.ts";

interface Props {
  readonly view: MigrationView;
  readonly trail: Trail;
  readonly report: Report | undefined;
}

export function Journey({ view, trail, report }: Props) {
  const progress = view.progress ?? trail.at(-1);
  const done = view.outcome === "done";
  const fraction = done ? 1 : (progress?.fraction ?? 0);
  const percent = Math.floor(fraction * 100);
  const tone = view.outcome === undefined ? PHASE_TONES[view.phase] : OUTCOME_TONES[view.outcome];
  // Who may run it is what a person is needed for: nothing is claimed.
  const runsAt = view.phase === "needs-person" ? undefined : runsAtTarget(view) ? view.target : view.source;
  return (
    <section className="gw-card gw-journey" aria-label="How far it is">
      <div className="gw-journey-way">
        <Host name={view.source} role="source" here={runsAt === view.source} />
        <div
          className="gw-journey-rail"
          role="progressbar"
          aria-label={`${view.vm} from ${view.source} to ${view.target}`}
          aria-valuemin={0}
          aria-valuemax={100}
          aria-valuenow={percent}
          data-tone={tone}
        >
          <div style={{ inlineSize: `${fraction * 100}%` }} />
          <span style={{ insetInlineStart: `clamp(2.2rem, ${fraction * 100}%, calc(100% - 2.2rem))` }}>
            {percent} %
          </span>
        </div>
        <Host name={view.target} role="target" here={runsAt === view.target} />
      </div>
      <p className="gw-journey-limit">
        {view.outcome === undefined ? progress?.limit : (view.reason ?? progress?.limit)}
        {view.code === undefined ? null : (
          <>
            {" "}
            <code>{view.code}</code>
          </>
        )}
      </p>
      {view.outcome === undefined ? <Now progress={progress} /> : <Ended trail={trail} report={report} />}
    </section>
  );
}

const MOVING: readonly Progress["phase"][] = ["copying", "fetching"];

function Now({ progress }: { readonly progress: Progress | undefined }) {
  // At the target it writes what nobody has to send any more, and a link that is gone moves nothing.
  const writes = progress?.phase === "copying" && (progress.round > 1 || progress.dirtyBytesPerSecond > 0);
  return (
    <dl className="gw-facts">
      <Fact name="Time left">
        {progress?.eta === undefined ? (
          <small>not known yet</small>
        ) : (
          <>
            {formatDuration(progress.eta.ms)}
            <small>
              {formatDuration(progress.eta.lowMs)} to {formatDuration(progress.eta.highMs)}
            </small>
          </>
        )}
      </Fact>
      <Fact name="So far">{progress === undefined ? "–" : formatDuration(progress.elapsedMs)}</Fact>
      <Fact name="Left">
        {progress === undefined ? "–" : formatBytes(progress.remainingBytes)}
        {progress === undefined ? null : <small>of {formatBytes(progress.ramBytes)}</small>}
      </Fact>
      <Fact name="Link moves">
        {progress !== undefined && MOVING.includes(progress.phase)
          ? formatRate(progress.sendBytesPerSecond)
          : "–"}
      </Fact>
      <Fact name="Guest writes">
        {writes ? formatRate(progress.dirtyBytesPerSecond) : "–"}
        {progress !== undefined && progress.throttlePercent > 0 ? (
          <small>vCPUs slowed by {progress.throttlePercent} %</small>
        ) : null}
      </Fact>
      <Fact name="Round">{progress === undefined || progress.round === 0 ? "–" : progress.round}</Fact>
    </dl>
  );
}

const seen = (ms: number | null | undefined): string =>
  ms === null || ms === undefined ? "not observed" : formatDuration(ms);

function Ended({ trail, report }: { readonly trail: Trail; readonly report: Report | undefined }) {
  const metrics = report?.metrics;
  const took = metrics?.total_time_ms ?? trail.at(-1)?.elapsedMs;
  const out = metrics?.bytes.wire_out;
  return (
    <dl className="gw-facts">
      <Fact name="Took">{seen(took)}</Fact>
      <Fact name="Pause">{seen(metrics?.downtime_ms.vm)}</Fact>
      <Fact name="A client waited">{seen(metrics?.downtime_ms.client)}</Fact>
      <Fact name="On the wire">
        {out === null || out === undefined
          ? "not observed"
          : formatBytes(out + (metrics?.bytes.wire_in ?? 0))}
      </Fact>
      <Fact name="Rounds">{report === undefined ? "–" : report.rounds.length}</Fact>
      <Fact name="Correctness">
        {report === undefined ? "–" : report.correctness.verdict.replace("-", " ")}
      </Fact>
    </dl>
  );
}

const AT_TARGET: readonly MigrationView["phase"][] = ["handed-over", "fetching", "fetch-paused", "done"];
const runsAtTarget = (view: MigrationView): boolean => AT_TARGET.includes(view.phase);

const Host = ({
  name,
  role,
  here,
}: {
  readonly name: string;
  readonly role: string;
  readonly here: boolean;
}) => (
  <div className="gw-journey-host" data-here={here || undefined}>
    <small>{role}</small>
    <strong>{name}</strong>
    <small>{here ? "the VM is here" : "\u00a0"}</small>
  </div>
);

const Fact = ({ name, children }: { readonly name: string; readonly children: React.ReactNode }) => (
  <div>
    <dt>{name}</dt>
    <dd className="gw-number">{children}</dd>
  </div>
);
