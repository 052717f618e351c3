/** The metrics of all, one column each; what is better or worse than the first is said and marked. */
import type { Report } from "../../api/report.ts";
import { compareRows } from "./rows.ts";

const VERDICTS = { verified: "verified", failed: "FAILED", "not-checked": "not checked" };

export function CompareTable({ reports }: { readonly reports: readonly Report[] }) {
  const rows = compareRows(reports);
  return (
    <section className="gw-card" aria-labelledby="table-title">
      <h2 id="table-title" className="gw-panel-title">
        The five metrics, each against the first
      </h2>
      <div className="gw-scroll" tabIndex={0} role="region" aria-label="Metrics, table">
        <table className="gw-compare-table">
          <thead>
            <tr>
              <th scope="col">Metric</th>
              {reports.map((report, index) => (
                <th
                  key={report.id}
                  scope="col"
                  style={{ "--gw-key": `var(--gw-compare-${index})` } as React.CSSProperties}
                >
                  <span>{report.vm}</span>
                  <small>{report.technique}</small>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <tr key={`${row.group} ${row.label}`}>
                <th scope="row">
                  <b>{row.group}</b> {row.label}
                </th>
                {row.cells.map((cell, index) => (
                  <td key={reports[index]?.id} data-is={cell.is}>
                    <span className="gw-number">{cell.text}</span>
                    {cell.difference === "" ? null : (
                      <small>
                        {cell.is === "better" ? "▼ " : cell.is === "worse" ? "▲ " : ""}
                        {cell.difference}
                      </small>
                    )}
                  </td>
                ))}
              </tr>
            ))}
            <tr>
              <th scope="row">
                <b>Outcome</b>
              </th>
              {reports.map((report) => (
                <td key={report.id}>
                  {report.outcome}, {VERDICTS[report.correctness.verdict]}
                </td>
              ))}
            </tr>
          </tbody>
        </table>
      </div>
      <p className="gw-panel-foot">
        One run each: differences below the scatter of single runs mean nothing. Less is better in every line.
      </p>
    </section>
  );
}
