/** Hosts and VMs at a glance: what moves now, each host with what it runs, and every VM, found by words. */
import { useMemo, useState } from "react";

import type { VmView } from "../../api/host.ts";
import { useKnown } from "../session.ts";
import { Loading } from "../ui/loading.tsx";
import { lazyDialog } from "../ui/lazy-dialog.tsx";
import { HostCards } from "./host-cards.tsx";
import { hostCards, matching, NO_FILTER, underWay, vmRows } from "./select.ts";
import { UnderWay } from "./under-way.tsx";
import { VmTable } from "./vm-table.tsx";
import { VmToolbar } from "./vm-toolbar.tsx";

const StartDialog = lazyDialog(() => import("../start/start-dialog.tsx"));

export function FleetPage() {
  const vms = useKnown((state) => state.vms);
  const known = useKnown((state) => state.vmsKnown);
  const host = useKnown((state) => state.host);
  const migrations = useKnown((state) => state.migrations);
  const [filter, setFilter] = useState(NO_FILTER);
  const [starting, setStarting] = useState<VmView>();
  const rows = useMemo(() => vmRows(vms.values()), [vms]);
  const cards = useMemo(() => hostCards(host, rows), [host, rows]);
  const shown = useMemo(() => matching(rows, filter), [rows, filter]);
  const moving = useMemo(() => underWay(migrations.values()), [migrations]);
  return (
    <>
      <h1 className="gw-page-title">Hosts and VMs</h1>
      <UnderWay views={moving} />
      {known ? (
        <>
          <HostCards
            cards={cards}
            chosen={filter.host}
            onChoose={(name) => setFilter({ ...filter, host: name })}
          />
          <section aria-labelledby="vms-title">
            <div className="gw-section-head">
              <h2 id="vms-title">Virtual machines</h2>
              <span className="gw-count" role="status">
                {shown.length === rows.length ? `${rows.length}` : `${shown.length} of ${rows.length}`}
              </span>
            </div>
            <VmToolbar
              filter={filter}
              rows={rows}
              hosts={cards.map((card) => card.name)}
              onChange={setFilter}
            />
            <VmTable
              rows={shown}
              here={host?.facts.name}
              onStart={setStarting}
              onClear={() => setFilter(NO_FILTER)}
            />
          </section>
        </>
      ) : (
        <Loading what="hosts and VMs" />
      )}
      {starting === undefined ? null : <StartDialog vm={starting} onClose={() => setStarting(undefined)} />}
    </>
  );
}
