/** What the relays made of the stream: pages by what became of them, stacked, and how many times fewer bytes that is. */
import { useMemo } from "react";

import type { MigrationView } from "../../api/migration.ts";
import { formatBytes } from "../../std/units.ts";
import type { Trail } from "../state/trail.ts";
import TimeChart, { type ChartAxes } from "../ui/time-chart.tsx";
import { classes, written } from "./series.ts";

interface Props {
  readonly view: MigrationView;
  readonly trail: Trail;
  /** What the report says, once there is one. */
  readonly path: MigrationView["path"];
  readonly axes: ChartAxes;
}

export function WirePanel({ view, trail, path, axes }: Props) {
  const data = useMemo(() => classes(trail), [trail]);
  const direct = useMemo(() => written(trail), [trail]);
  const wire = trail.findLast((one) => one.wire !== undefined)?.wire;
  return (
    <section className="gw-card" aria-label="Wire">
      {data === undefined || wire === undefined ? (
        <>
          <TimeChart title="What crossed the wire" {...direct} {...axes} format={formatBytes} />
          <p className="gw-panel-foot">
            {path === "relay"
              ? "No relay has counted a page yet."
              : `QEMU to QEMU, every page as it is. ${view.pathReason ?? ""}`}
          </p>
        </>
      ) : (
        <>
          <TimeChart
            title="What became of the guest's pages"
            {...data}
            {...axes}
            stacked
            format={formatBytes}
          />
          <p className="gw-panel-foot">
            <b className="gw-number">{formatBytes(wire.wireBytes)}</b> on the wire for{" "}
            <b className="gw-number">{formatBytes(wire.qemuBytes)}</b> from QEMU
            {wire.ratio === null ? null : (
              <>
                : <b className="gw-number">{wire.ratio.toFixed(2)} ×</b> less
              </>
            )}
            {wire.passThrough === undefined ? null : `. Now passed through untouched: ${wire.passThrough}`}
          </p>
        </>
      )}
    </section>
  );
}
