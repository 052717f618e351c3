/** A migration as it is drawn, live and replayed alike: the way, the charts, the rounds, the pause, the report. */
import "../style/scene.css";

import { useMemo, type ReactNode } from "react";

import { roundsOfReport, roundsOfTrail } from "../scene/rounds.ts";
import type { Scene } from "../scene/scene.ts";
import TimeChart from "../ui/time-chart.tsx";
import { ToneLabel } from "../ui/tone.tsx";
import { formatBytes, formatDuration, formatRate } from "../../std/units.ts";
import { OUTCOME_TONES, OUTCOME_WORDS, PHASE_TONES, PHASE_WORDS } from "../words.ts";
import { Journey } from "./journey.tsx";
import { MetricsPanel } from "./metrics-panel.tsx";
import { PausePanel } from "./pause-panel.tsx";
import { ReportPanels } from "./report-panels.tsx";
import { RoundsPanel } from "./rounds-panel.tsx";
import { clientWaits, expectedEnd, phaseBands, rates, remaining } from "./series.ts";
import { WirePanel } from "./wire-panel.tsx";

const STRIP_HEIGHT = 120;

interface Props {
  readonly scene: Scene;
  readonly actions?: ReactNode;
}

export function SceneView({ scene, actions }: Props) {
  const { view, trail, report, latency, endMs } = scene;
  const left = useMemo(() => remaining(trail), [trail]);
  const speed = useMemo(() => rates(trail), [trail]);
  const waits = useMemo(() => (latency === undefined ? undefined : clientWaits(latency)), [latency]);
  const bands = useMemo(() => phaseBands(trail), [trail]);
  const rounds = useMemo(
    () => (report !== undefined && report.rounds.length > 0 ? roundsOfReport(report) : roundsOfTrail(trail)),
    [trail, report],
  );
  const expected = useMemo(() => (endMs === undefined ? expectedEnd(trail) : undefined), [trail, endMs]);
  const endS = endMs === undefined ? (expected?.axisEndS ?? 0) : endMs / 1000;
  const axes = {
    bands: expected === undefined ? bands : [...bands, expected.band],
    endS,
    live: endMs === undefined,
    cursorKey: view.id,
  };
  return (
    <article className="gw-scene">
      <header className="gw-scene-head">
        <div>
          <h1>
            {view.vm}{" "}
            <ToneLabel
              tone={view.outcome === undefined ? PHASE_TONES[view.phase] : OUTCOME_TONES[view.outcome]}
            >
              {view.outcome === undefined ? PHASE_WORDS[view.phase] : OUTCOME_WORDS[view.outcome]}
            </ToneLabel>
          </h1>
          <p className="gw-scene-about">
            {view.technique} · <code>{view.id}</code> · started{" "}
            <time dateTime={view.startedAt}>{new Date(view.startedAt).toLocaleString()}</time>
          </p>
        </div>
        {actions}
      </header>
      <Journey view={view} trail={trail} report={report} />
      <div className="gw-panels">
        <section className="gw-card" aria-label="Remaining memory">
          <TimeChart title="Memory left to move" {...left} {...axes} format={formatBytes} />
        </section>
        <section className="gw-card" aria-label="Rates">
          <TimeChart
            title="Does it converge? What the guest writes against what the link moves"
            {...speed}
            {...axes}
            format={formatRate}
          />
        </section>
        {waits === undefined ? null : (
          <section className="gw-card gw-wide" aria-label="Client">
            <TimeChart
              title="What a client outside waits for an answer"
              {...waits}
              {...axes}
              height={STRIP_HEIGHT}
              format={formatDuration}
            />
          </section>
        )}
        <WirePanel view={view} path={report?.path ?? view.path} trail={trail} axes={{ ...axes, bands }} />
        <RoundsPanel rounds={rounds} endMs={endMs ?? trail.at(-1)?.elapsedMs ?? 0} />
        <PausePanel view={view} trail={trail} report={report} />
        {report === undefined ? null : <MetricsPanel report={report} />}
      </div>
      {report === undefined ? null : <ReportPanels report={report} />}
    </article>
  );
}
