/** Past migrations as rows, with what each came to. */
import { Button } from "@patternfly/react-core/dist/esm/components/Button";

import type { MigrationView } from "../../api/migration.ts";
import { formatDuration } from "../../std/units.ts";
import { hrefOf } from "../route.ts";
import { ToneLabel } from "../ui/tone.tsx";
import { VirtualTable, type Column } from "../ui/virtual-table.tsx";
import { OUTCOME_TONES, OUTCOME_WORDS, PHASE_TONES, PHASE_WORDS } from "../words.ts";

interface Props {
  readonly rows: readonly MigrationView[];
  readonly ticked: ReadonlySet<string>;
  readonly onTick: (id: string) => void;
  readonly onClear: () => void;
}

const shown = (ms: number | null | undefined): string =>
  ms === null || ms === undefined ? "–" : formatDuration(ms);
const when = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

export function HistoryTable({ rows, ticked, onTick, onClear }: Props) {
  const columns: readonly Column<MigrationView>[] = [
    {
      key: "tick",
      head: "Compare",
      width: "0 0 4.5rem",
      cell: (view) => (
        <input
          type="checkbox"
          aria-label={`Compare ${view.vm}, ${view.id}`}
          checked={ticked.has(view.id)}
          disabled={view.outcome === undefined}
          onChange={() => onTick(view.id)}
        />
      ),
    },
    { key: "vm", head: "VM", width: "1.4 1 6rem", cell: (view) => <strong>{view.vm}</strong> },
    {
      key: "way",
      head: "From → to",
      width: "1.6 1 9rem",
      from: "medium",
      cell: (view) => `${view.source} → ${view.target}`,
    },
    { key: "technique", head: "Technique", width: "1 1 7rem", from: "wide", cell: (view) => view.technique },
    { key: "path", head: "Wire", width: "0 0 5rem", from: "wide", cell: (view) => view.path ?? "–" },
    {
      key: "outcome",
      head: "Outcome",
      width: "1.2 1 8.5rem",
      cell: (view) =>
        view.outcome === undefined ? (
          <ToneLabel tone={PHASE_TONES[view.phase]}>{PHASE_WORDS[view.phase]}</ToneLabel>
        ) : (
          <ToneLabel tone={OUTCOME_TONES[view.outcome]}>{OUTCOME_WORDS[view.outcome]}</ToneLabel>
        ),
    },
    {
      key: "took",
      head: "Took",
      width: "0 0 5.5rem",
      numeric: true,
      from: "wide",
      cell: (view) => shown(view.figures?.totalMs ?? view.progress?.elapsedMs),
    },
    {
      key: "pause",
      head: "Pause",
      width: "0 0 5.5rem",
      numeric: true,
      from: "wide",
      cell: (view) => shown(view.figures?.pauseMs),
    },
    {
      key: "when",
      head: "Started",
      width: "1.2 1 10rem",
      from: "medium",
      cell: (view) => <time dateTime={view.startedAt}>{when.format(new Date(view.startedAt))}</time>,
    },
    {
      key: "open",
      head: "Open",
      width: "0 0 5rem",
      cell: (view) => (
        <a href={hrefOf({ page: "migration", id: view.id })} aria-label={`Open ${view.vm}, ${view.id}`}>
          Open
        </a>
      ),
    },
  ];
  return (
    <VirtualTable
      label="Migrations"
      columns={columns}
      rows={rows}
      keyOf={(view) => view.id}
      onOpen={(view) => {
        location.hash = hrefOf({ page: "migration", id: view.id });
      }}
      empty={
        <>
          <h2>No migration fits</h2>
          <p>Nothing recorded here has all that was asked for.</p>
          <Button variant="link" onClick={onClear}>
            Show all
          </Button>
        </>
      }
    />
  );
}
