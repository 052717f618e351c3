/** Who did what, newest first, and whether the log is whole. */
import { useMemo, useState } from "react";

import type { AuditEntry } from "../../api/audit.ts";
import { PAGE_ITEMS_MAX } from "../../api/pages.ts";
import { useSession } from "../session.ts";
import { SearchField } from "../ui/fields.tsx";
import { Loading } from "../ui/loading.tsx";
import { RefusalNote } from "../ui/refusal-note.tsx";
import { ToneLabel } from "../ui/tone.tsx";
import { useAnswer } from "../ui/use-answer.ts";
import { VirtualTable, type Column } from "../ui/virtual-table.tsx";

const when = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

const COLUMNS: readonly Column<AuditEntry>[] = [
  { key: "seq", head: "No.", width: "0 0 4rem", numeric: true, from: "medium", cell: (entry) => entry.seq },
  {
    key: "at",
    head: "When",
    width: "1.2 1 9rem",
    cell: (entry) => <time dateTime={entry.at}>{when.format(new Date(entry.at))}</time>,
  },
  { key: "who", head: "Who", width: "1 1 6rem", cell: (entry) => entry.who },
  {
    key: "what",
    head: "What",
    width: "1.2 1 6.5rem",
    cell: (entry) => (
      <>
        <strong>{entry.what}</strong>
        <small className="gw-narrow">{entry.code ?? entry.outcome}</small>
      </>
    ),
  },
  { key: "to", head: "To", width: "2 1 10rem", from: "wide", cell: (entry) => <code>{entry.to}</code> },
  {
    key: "outcome",
    head: "Outcome",
    width: "1.4 1 7rem",
    from: "medium",
    cell: (entry) => (
      <>
        <ToneLabel tone={entry.outcome === "done" ? "good" : "bad"}>{entry.code ?? entry.outcome}</ToneLabel>
        {entry.times > 1 ? <small> {entry.times} times</small> : null}
      </>
    ),
  },
];

export default function AuditPage() {
  const { agent } = useSession();
  const [text, setText] = useState("");
  const [page, again] = useAnswer(
    (signal) => agent.call("audit", { query: { limit: PAGE_ITEMS_MAX }, signal }),
    "",
  );
  const [whole] = useAnswer((signal) => agent.call("auditVerification", { signal }), "");
  const items = page.is === "there" ? page.value.items : undefined;
  const shown = useMemo(() => {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    return (items ?? []).filter(({ who, what, to, code, outcome }) => {
      const hay = `${who} ${what} ${to} ${code ?? ""} ${outcome}`.toLowerCase();
      return words.every((word) => hay.includes(word));
    });
  }, [items, text]);
  return (
    <>
      <div className="gw-section-head">
        <h1 className="gw-page-title">Audit</h1>
        {whole.is === "asking" ? null : whole.is === "refused" ? (
          <ToneLabel tone="bad">{`could not be verified: ${whole.refusal.what}`}</ToneLabel>
        ) : whole.value.ok ? (
          <ToneLabel tone="good">{`whole: ${whole.value.entries} entries`}</ToneLabel>
        ) : (
          <ToneLabel tone="bad">{`broken at ${whole.value.broken?.seq ?? "?"}: ${whole.value.broken?.why ?? ""}`}</ToneLabel>
        )}
      </div>
      {page.is === "there" && page.value.next !== null ? (
        <p>
          The newest {page.value.items.length}; <code>godwit audit</code> lists all.
        </p>
      ) : null}
      {page.is === "refused" ? <RefusalNote refusal={page.refusal} onAgain={again} /> : null}
      {page.is === "asking" ? <Loading what="the audit log" /> : null}
      {items === undefined ? null : (
        <>
          <div className="gw-toolbar" role="search" aria-label="Find entries">
            <SearchField label="Who, what, to what, code" value={text} onChange={setText} />
          </div>
          <VirtualTable
            label="Audit log"
            columns={COLUMNS}
            rows={shown}
            keyOf={(entry) => String(entry.seq)}
            empty={<h2>No entry fits</h2>}
          />
        </>
      )}
    </>
  );
}
