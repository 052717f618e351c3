/** Every migration this agent took part in: found by words and filters, opened, or ticked to be compared. */
import { Button } from "@patternfly/react-core/dist/esm/components/Button";
import { useMemo, useState } from "react";

import { OUTCOMES, TECHNIQUES } from "../../api/migration.ts";
import { COMPARED_MAX, hrefOf } from "../route.ts";
import { useKnown, useSession } from "../session.ts";
import { SearchField, SelectField } from "../ui/fields.tsx";
import { Loading } from "../ui/loading.tsx";
import { RefusalNote } from "../ui/refusal-note.tsx";
import { OUTCOME_WORDS } from "../words.ts";
import { HistoryTable } from "./history-table.tsx";
import { merged, NO_HISTORY_FILTER, pastMatching, SINCE, type HistoryFilter } from "./select.ts";
import { useHistory } from "./use-history.ts";

const SINCE_WORDS = {
  all: "Any time",
  hour: "Last hour",
  day: "Last day",
  week: "Last week",
  month: "Last month",
};

export default function HistoryPage() {
  const { agent } = useSession();
  const live = useKnown((state) => state.migrations);
  const [turn, setTurn] = useState(0);
  const loaded = useHistory(agent, turn);
  const [filter, setFilter] = useState<HistoryFilter>(NO_HISTORY_FILTER);
  const [ticked, setTicked] = useState<ReadonlySet<string>>(tickedByAddress);
  const all = useMemo(() => merged(loaded.views, live), [loaded.views, live]);
  const shown = useMemo(() => pastMatching(all, filter, Date.now()), [all, filter]);
  const tick = (id: string): void => {
    const next = new Set(ticked);
    if (!next.delete(id)) next.add(id);
    if (next.size <= COMPARED_MAX) setTicked(next);
  };
  return (
    <>
      <div className="gw-section-head">
        <h1 className="gw-page-title">History</h1>
        <span className="gw-count" role="status">
          {shown.length === all.length
            ? all.length.toLocaleString("en")
            : `${shown.length.toLocaleString("en")} of ${all.length.toLocaleString("en")}`}
          {loaded.whole ? "" : " …"}
        </span>
      </div>
      <div className="gw-toolbar" role="search" aria-label="Find migrations">
        <SearchField
          label="VM, host, id or code"
          value={filter.text}
          onChange={(text) => setFilter({ ...filter, text })}
        />
        <SelectField
          label="Outcome"
          value={filter.outcome ?? ""}
          options={[
            ["", "Any outcome"],
            ["active", "Under way"],
            ...OUTCOMES.map((one) => [one, OUTCOME_WORDS[one]] as const),
          ]}
          onChange={(outcome) => setFilter({ ...filter, outcome: outcome === "" ? undefined : outcome })}
        />
        <SelectField
          label="Technique"
          value={filter.technique ?? ""}
          options={[["", "Any technique"], ...TECHNIQUES.map((one) => [one, one] as const)]}
          onChange={(technique) =>
            setFilter({ ...filter, technique: technique === "" ? undefined : technique })
          }
        />
        <SelectField
          label="Time"
          value={filter.since}
          options={SINCE.map((since) => [since, SINCE_WORDS[since]] as const)}
          onChange={(since) => setFilter({ ...filter, since })}
        />
        <CompareButton ticked={ticked} onClear={() => setTicked(new Set())} />
      </div>
      {loaded.refusal === undefined ? null : (
        <RefusalNote refusal={loaded.refusal} onAgain={() => setTurn(turn + 1)} />
      )}
      {all.length === 0 && !loaded.whole && loaded.refusal === undefined ? (
        <Loading what="past migrations" />
      ) : (
        <HistoryTable
          rows={shown}
          ticked={ticked}
          onTick={tick}
          onClear={() => setFilter(NO_HISTORY_FILTER)}
        />
      )}
    </>
  );
}

/** The page of a migration sends here to choose what to compare it with. */
function tickedByAddress(): ReadonlySet<string> {
  const id = new URLSearchParams(location.hash.split("?", 2)[1] ?? "").get("with");
  return new Set(id === null ? [] : [id]);
}

interface CompareProps {
  readonly ticked: ReadonlySet<string>;
  readonly onClear: () => void;
}

function CompareButton({ ticked, onClear }: CompareProps) {
  const enough = ticked.size >= 2;
  return (
    <span className="gw-compare-button">
      <Button
        isAriaDisabled={!enough}
        title={enough ? "" : `Tick two to ${COMPARED_MAX} migrations below`}
        onClick={() => {
          location.hash = hrefOf({ page: "compare", ids: [...ticked] });
        }}
      >
        Compare {ticked.size === 0 ? "" : ticked.size}
      </Button>
      {ticked.size === 0 ? null : (
        <Button variant="link" onClick={onClear}>
          Untick
        </Button>
      )}
    </span>
  );
}
