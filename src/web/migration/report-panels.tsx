/** The rest of the report for people: whether the guest came through unharmed, what was asked, all that was noted. */
import type { Report } from "../../api/report.ts";
import { formatBytes, formatDuration, formatRate } from "../../std/units.ts";
import { ToneLabel } from "../ui/tone.tsx";

export function ReportPanels({ report }: { readonly report: Report }) {
  return (
    <section className="gw-report" aria-labelledby="report-title">
      <h2 id="report-title">Report</h2>
      <div className="gw-panels">
        <Correctness report={report} />
        <Surroundings report={report} />
        <Timeline report={report} />
      </div>
    </section>
  );
}

const VERDICTS = {
  verified: ["good", "Verified"],
  failed: ["bad", "Failed"],
  "not-checked": ["quiet", "Not checked"],
} as const;

function Correctness({ report }: { readonly report: Report }) {
  const { verdict, checks, lost_acknowledged_writes: lost } = report.correctness;
  const [tone, words] = VERDICTS[verdict];
  return (
    <section className="gw-card" aria-labelledby="correct-title">
      <h3 id="correct-title" className="gw-panel-title">
        Correctness <ToneLabel tone={tone}>{words}</ToneLabel>
      </h3>
      {checks.length === 0 ? (
        <p className="gw-panel-empty">No observer checked; a run without a verdict is not a result.</p>
      ) : null}
      <ul className="gw-checks">
        {checks.map((check) => (
          <li key={check.what}>
            <ToneLabel tone={check.ok ? "good" : "bad"}>{check.what}</ToneLabel>
            <small>{check.detail}</small>
          </li>
        ))}
      </ul>
      {lost === null ? null : (
        <p className="gw-panel-foot">
          <b className="gw-number">{lost}</b> acknowledged writes lost
        </p>
      )}
      {report.notes.length === 0 ? null : (
        <>
          <h4>Notes</h4>
          <ul className="gw-notes">
            {report.notes.map((note) => (
              <li key={note}>{note}</li>
            ))}
          </ul>
        </>
      )}
    </section>
  );
}

const Timeline = ({ report }: { readonly report: Report }) => (
  <section className="gw-card gw-wide" aria-labelledby="timeline-title">
    <h3 id="timeline-title" className="gw-panel-title">
      What happened when
    </h3>
    <div className="gw-scroll" tabIndex={0} role="region" aria-label="Timeline, table">
      <table>
        <thead>
          <tr>
            <th scope="col">At</th>
            <th scope="col">Host</th>
            <th scope="col">What</th>
          </tr>
        </thead>
        <tbody>
          {report.timeline.map((entry) => (
            <tr key={`${entry.atMs} ${entry.host} ${entry.what}`}>
              <td className="gw-number">{entry.atMs.toFixed(1)} ms</td>
              <td>{entry.host}</td>
              <td>{entry.what}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  </section>
);

function Surroundings({ report }: { readonly report: Report }) {
  const { environment, settings } = report;
  const { link } = environment;
  const facts: readonly (readonly [string, string])[] = [
    [
      "Technique",
      report.finished_by === report.technique
        ? report.technique
        : `${report.technique}, finished by ${report.finished_by}`,
    ],
    ["Way", report.path_reason ?? (report.path === "relay" ? "through the relays" : "QEMU to QEMU")],
    [
      "QEMU",
      `${environment.qemu_source} → ${environment.qemu_target}, ${environment.accelerator.toUpperCase()}`,
    ],
    ["Guest", `${formatBytes(environment.ram_bytes)}, ${environment.vcpus} vCPU`],
    [
      "Link",
      link.rate_bytes_per_second === null
        ? link.note || "not known"
        : `${formatRate(link.rate_bytes_per_second)}${link.delay_ms === null ? "" : `, ${formatDuration(link.delay_ms)} each way`}`,
    ],
    ["Longest pause asked", formatDuration(settings.maxDowntimeMs)],
    [
      "Bandwidth at most",
      settings.bandwidthBytesPerSecond === undefined
        ? "as the link goes"
        : formatRate(settings.bandwidthBytesPerSecond),
    ],
    ["Patience", settings.timeoutMs === undefined ? "no end" : formatDuration(settings.timeoutMs)],
    ...(report.forecast === null ? [] : [["Forecast", JSON.stringify(report.forecast)] as const]),
  ];
  return (
    <section className="gw-card" aria-labelledby="around-title">
      <h3 id="around-title" className="gw-panel-title">
        Asked for, and found
      </h3>
      <dl className="gw-pairs">
        {facts.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}
