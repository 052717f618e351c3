/** What can be done with a migration: cancel it or take its VM back (both asked twice), try its connection again, take its report away, replay, compare. */
import { Button } from "@patternfly/react-core/dist/esm/components/Button";
import { useState } from "react";

import type { MigrationView } from "../../api/migration.ts";
import type { Report } from "../../api/report.ts";
import { refusalOf, type Refusal } from "../data/refusal.ts";
import { hrefOf } from "../route.ts";
import { useRight, useSession } from "../session.ts";
import { RefusalNote } from "../ui/refusal-note.tsx";
import { CANCELLABLE, RECOVERABLE } from "../words.ts";
import { AskDialog, type Asked } from "./ask-dialog.tsx";
import { saveReport } from "./save-report.ts";

interface Props {
  readonly view: MigrationView;
  readonly report: Report | undefined;
}

export function Actions({ view, report }: Props) {
  const { agent, store } = useSession();
  const isSender = useRight("send-from-here");
  const may = isSender && view.side === "source";
  const [asking, setAsking] = useState<Asked>();
  const [busy, setBusy] = useState(false);
  const [refusal, setRefusal] = useState<Refusal>();

  const act = async (what: Asked): Promise<void> => {
    setAsking(undefined);
    setBusy(true);
    setRefusal(undefined);
    try {
      const migration = await agent.call(what, { params: { id: view.id } });
      store.tell({ type: "event", event: { type: "migration", migration } });
    } catch (error) {
      setRefusal(refusalOf(error));
    }
    setBusy(false);
  };

  const running = view.outcome === undefined;
  const cancellable = running && CANCELLABLE.includes(view.phase);
  const recoverable = RECOVERABLE.includes(view.phase);
  return (
    <div className="gw-actions">
      {isSender && !may && (cancellable || recoverable) ? (
        <small>
          {recoverable ? "Recover" : "Cancel"} it from {view.source}.
        </small>
      ) : null}
      {may && cancellable ? (
        <Button variant="danger" isDisabled={busy} onClick={() => setAsking("cancel")}>
          Cancel …
        </Button>
      ) : null}
      {may && recoverable ? (
        <Button
          isDisabled={busy}
          onClick={() => (view.phase === "needs-person" ? setAsking("recover") : void act("recover"))}
        >
          {view.phase === "needs-person" ? "Recover …" : "Recover"}
        </Button>
      ) : null}
      {running ? null : (
        <>
          <a className="gw-button" href={hrefOf({ page: "replay", id: view.id })}>
            Replay
          </a>
          <a className="gw-button" href={`#/history?with=${view.id}`}>
            Compare …
          </a>
        </>
      )}
      {report === undefined ? null : (
        <Button variant="secondary" onClick={() => saveReport(report)}>
          Download JSON
        </Button>
      )}
      {asking === undefined ? null : (
        <AskDialog
          what={asking}
          view={view}
          onNo={() => setAsking(undefined)}
          onYes={() => void act(asking)}
        />
      )}
      {refusal === undefined ? null : <RefusalNote refusal={refusal} />}
    </div>
  );
}
