/** The five metrics of the field, as far as somebody observed them. */
import type { Report } from "../../api/report.ts";
import { compareRows } from "../compare/rows.ts";

export function MetricsPanel({ report }: { readonly report: Report }) {
  const rows = compareRows([report]);
  const groups = [...new Set(rows.map((row) => row.group))];
  return (
    <section className="gw-card" aria-labelledby="metrics-title">
      <h2 id="metrics-title" className="gw-panel-title">
        The five metrics
      </h2>
      <table className="gw-metrics">
        <tbody>
          {groups.flatMap((group) =>
            rows
              .filter((row) => row.group === group)
              .map((row, index) => (
                <tr key={`${group} ${row.label}`} data-first={index === 0 || undefined}>
                  <th scope="row">
                    {index === 0 ? <b>{group}</b> : <span className="gw-hidden">{group}</span>} {row.label}
                  </th>
                  <td className="gw-number">
                    {row.cells[0]?.text === "–" ? "not observed" : row.cells[0]?.text}
                  </td>
                </tr>
              )),
          )}
        </tbody>
      </table>
    </section>
  );
}
