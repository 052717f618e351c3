/** The figures of a chart as a table, made only when it is opened: at most some thirty rows of what may be a thousand. */
import { useState } from "react";

import type { ChartLine } from "./time-chart.tsx";

const ROWS_MAX = 30;

interface Props {
  readonly title: string;
  readonly seconds: readonly number[];
  readonly lines: readonly ChartLine[];
  readonly format: (value: number) => string;
}

export function ChartTable({ title, seconds, lines, format }: Props) {
  const [open, setOpen] = useState(false);
  return (
    <details className="gw-chart-table" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>
        As a table<span className="gw-hidden">: {title}</span>
      </summary>
      {open ? (
        <div className="gw-scroll" tabIndex={0} role="region" aria-label={`${title}, table`}>
          <table>
            <thead>
              <tr>
                <th scope="col">Time</th>
                {lines.map((line) => (
                  <th key={line.label} scope="col">
                    {line.label}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {spread(seconds.length).map((index) => (
                <tr key={index}>
                  <th scope="row">{(seconds[index] ?? 0).toFixed(1)} s</th>
                  {lines.map((line) => {
                    const value = line.values[index];
                    return <td key={line.label}>{typeof value === "number" ? format(value) : "–"}</td>;
                  })}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      ) : null}
    </details>
  );
}

/** Indices over the whole length, first and last among them. */
function spread(length: number): readonly number[] {
  if (length <= ROWS_MAX) return Array.from({ length }, (_, index) => index);
  return Array.from({ length: ROWS_MAX }, (_, index) => Math.round((index * (length - 1)) / (ROWS_MAX - 1)));
}
