/** One migration, live while it runs and with its report after; opened late, it fetches what it missed. */
import { useMemo } from "react";

import type { MigrationView } from "../../api/migration.ts";
import { joined, trailOf, type Scene } from "../scene/scene.ts";
import { useKnown, useSession } from "../session.ts";
import type { Trail } from "../state/trail.ts";
import { Loading } from "../ui/loading.tsx";
import { RefusalNote } from "../ui/refusal-note.tsx";
import { useAnswer } from "../ui/use-answer.ts";
import { Actions } from "./actions.tsx";
import { useObservations } from "./use-observations.ts";
import { Announcer } from "./announcer.tsx";
import { SceneView } from "./scene-view.tsx";

const NOTHING: Trail = [];

export default function MigrationPage({ id }: { readonly id: string }) {
  const { agent } = useSession();
  const live = useKnown((state) => state.migrations.get(id));
  const heard = useKnown((state) => state.trails.get(id)) ?? NOTHING;
  const waited = useKnown((state) => state.latencies.get(id));
  const [read, again] = useAnswer((signal) => agent.call("migration", { params: { id }, signal }), id);
  const view = newer(live, read.is === "there" ? read.value : undefined);
  const ended = view?.outcome !== undefined;
  // Once when opened for what went before, once at the end for the whole.
  const [recording] = useAnswer(
    (signal) => agent.call("recording", { params: { id }, signal }),
    `${id} ${view === undefined} ${ended}`,
  );
  const [report, askReport] = useAnswer(
    (signal) => (ended ? agent.call("report", { params: { id }, signal }) : Promise.resolve(undefined)),
    `${id} ${ended}`,
  );
  useObservations(report.is === "there" ? report.value : undefined, askReport);
  const recorded = recording.is === "there" ? recording.value : undefined;
  const trail = useMemo(
    () => joined(recorded === undefined ? NOTHING : trailOf(recorded), heard),
    [recorded, heard],
  );
  if (view === undefined) {
    return read.is === "refused" ? (
      <RefusalNote refusal={read.refusal} onAgain={again} />
    ) : (
      <Loading what="the migration" />
    );
  }
  const known = report.is === "there" ? report.value : undefined;
  const scene: Scene = {
    view,
    trail,
    report: known,
    latency: known?.client_latency ?? waited,
    ...(ended ? { endMs: trail.at(-1)?.elapsedMs } : {}),
  };
  return (
    <>
      <Announcer view={view} />
      <SceneView scene={scene} actions={<Actions view={view} report={scene.report} />} />
      {report.is === "refused" && ended ? <RefusalNote refusal={report.refusal} /> : null}
    </>
  );
}

/** What events brought, unless only the answer knows of the end. One that waits for a person has not come to it. */
function newer(live: MigrationView | undefined, read: MigrationView | undefined): MigrationView | undefined {
  const over = read?.outcome !== undefined && read.outcome !== "needs-person";
  if (live === undefined || (live.outcome === undefined && over)) return read;
  return live;
}
