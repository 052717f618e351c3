/** A recorded migration played again on the page it had live: play, pause, scrub, speed. */
import { useEffect, useMemo, useReducer } from "react";

import { formatDuration } from "../../std/units.ts";
import { SceneView } from "../migration/scene-view.tsx";
import { hrefOf } from "../route.ts";
import { sceneAt } from "../scene/scene.ts";
import { useSession } from "../session.ts";
import { Loading } from "../ui/loading.tsx";
import { RefusalNote } from "../ui/refusal-note.tsx";
import { useAnswer } from "../ui/use-answer.ts";
import { move, SPEEDS, START, type ReplayClock, type ReplayMove } from "./clock.ts";

/** Often enough to look like motion. */
const STEP_MS = 250;
const SCRUB_STEPS = 200;

export default function ReplayPage({ id }: { readonly id: string }) {
  const { agent } = useSession();
  const [recording, again] = useAnswer((signal) => agent.call("recording", { params: { id }, signal }), id);
  const [report] = useAnswer((signal) => agent.call("report", { params: { id }, signal }), id);
  const [clock, dispatch] = useReducer(move, START);
  const recorded = recording.is === "there" ? recording.value : undefined;
  useEffect(() => {
    if (recorded === undefined) return;
    dispatch({ do: "length", endMs: recorded.samples.at(-1)?.atMs ?? 0 });
    if (!matchMedia("(prefers-reduced-motion: reduce)").matches) dispatch({ do: "play" });
  }, [recorded]);
  useEffect(() => {
    if (!clock.playing) return undefined;
    let before = performance.now();
    const timer = setInterval(() => {
      const now = performance.now();
      dispatch({ do: "step", wallMs: now - before });
      before = now;
    }, STEP_MS);
    return () => clearInterval(timer);
  }, [clock.playing]);
  const known = report.is === "there" ? report.value : undefined;
  const scene = useMemo(
    () => (recorded === undefined ? undefined : sceneAt(recorded, clock.atMs, known)),
    [recorded, clock.atMs, known],
  );
  if (recording.is === "refused") return <RefusalNote refusal={recording.refusal} onAgain={again} />;
  if (scene === undefined) return <Loading what="the recording" />;
  return (
    <>
      <Controls clock={clock} onMove={dispatch} id={id} />
      <SceneView scene={scene} />
    </>
  );
}

interface ControlsProps {
  readonly clock: ReplayClock;
  readonly onMove: (what: ReplayMove) => void;
  readonly id: string;
}

const Controls = ({ clock, onMove, id }: ControlsProps) => (
  <section className="gw-card gw-replay" aria-label="Replay">
    <button
      type="button"
      className="gw-play"
      onClick={() => onMove({ do: clock.playing ? "pause" : "play" })}
      aria-label={clock.playing ? "Pause" : "Play"}
    >
      <span aria-hidden="true">{clock.playing ? "❚❚" : "▶"}</span>
    </button>
    <span className="gw-number gw-replay-time">
      {formatDuration(clock.atMs)} <small>of {formatDuration(clock.endMs)}</small>
    </span>
    <input
      type="range"
      aria-label="Moment of the migration"
      aria-valuetext={`${formatDuration(clock.atMs)} of ${formatDuration(clock.endMs)}`}
      min={0}
      max={Math.max(1, clock.endMs)}
      step={Math.max(1, clock.endMs / SCRUB_STEPS)}
      value={clock.atMs}
      onChange={(event) => onMove({ do: "seek", atMs: Number(event.target.value) })}
    />
    <label>
      Speed{" "}
      <select
        value={clock.speed}
        onChange={(event) => onMove({ do: "speed", speed: Number(event.target.value) })}
      >
        {SPEEDS.map((speed) => (
          <option key={speed} value={speed}>
            {speed} ×
          </option>
        ))}
      </select>
    </label>
    <a href={hrefOf({ page: "migration", id })}>To its page</a>
  </section>
);
