/** Migrations side by side: their courses on one time axis, and every metric with its difference from the first. */
import "../style/scene.css";

import { useMemo } from "react";

import { formatBytes, formatRate } from "../../std/units.ts";
import type { Agent } from "../data/agent.ts";
import { hrefOf } from "../route.ts";
import { trailOf } from "../scene/scene.ts";
import { useSession } from "../session.ts";
import { Loading } from "../ui/loading.tsx";
import { RefusalNote } from "../ui/refusal-note.tsx";
import TimeChart from "../ui/time-chart.tsx";
import { useAnswer } from "../ui/use-answer.ts";
import { CompareTable } from "./compare-table.tsx";
import { overlay, type Course } from "./overlay.ts";

export default function ComparePage({ ids }: { readonly ids: readonly string[] }) {
  const { agent } = useSession();
  const [courses, again] = useAnswer((signal) => coursesOf(agent, ids, signal), ids.join(","));
  const known = courses.is === "there" ? courses.value : undefined;
  const left = useMemo(() => overlay(known ?? [], (one) => one.remainingBytes), [known]);
  const speed = useMemo(() => overlay(known ?? [], (one) => one.sendBytesPerSecond), [known]);
  if (ids.length < 2) {
    return (
      <section className="gw-empty">
        <h1>Compare migrations</h1>
        <p>
          Two at least are needed. <a href="#/history">Tick them in the history.</a>
        </p>
      </section>
    );
  }
  if (courses.is === "refused") return <RefusalNote refusal={courses.refusal} onAgain={again} />;
  if (known === undefined) return <Loading what="reports and recordings" />;
  return (
    <>
      <h1 className="gw-page-title">Compare migrations</h1>
      <ul className="gw-compared">
        {known.map(({ report }, index) => (
          <li key={report.id} style={{ "--gw-key": `var(--gw-compare-${index})` } as React.CSSProperties}>
            <a href={hrefOf({ page: "migration", id: report.id })}>{report.vm}</a>
            <small>
              {report.technique}, {report.path}, {report.source} → {report.target}
            </small>
          </li>
        ))}
      </ul>
      <div className="gw-panels">
        <section className="gw-card" aria-label="Memory left">
          <TimeChart title="Memory left to move" {...left} format={formatBytes} cursorKey="compare" />
        </section>
        <section className="gw-card" aria-label="Rates">
          <TimeChart title="What the link moved" {...speed} format={formatRate} cursorKey="compare" />
        </section>
      </div>
      <CompareTable reports={known.map(({ report }) => report)} />
    </>
  );
}

/** A migration older than the recordings kept has a report still, and no curve. */
const coursesOf = (agent: Agent, ids: readonly string[], signal: AbortSignal): Promise<readonly Course[]> =>
  Promise.all(
    ids.map(async (id) => {
      const [report, trail] = await Promise.all([
        agent.call("report", { params: { id }, signal }),
        agent.call("recording", { params: { id }, signal }).then(trailOf, () => []),
      ]);
      return { report, trail };
    }),
  );
