/**
 * A table of any length of which only the visible rows exist. Arrow keys, Home, End and the page keys move between
 * rows, Enter opens one; a screen reader is told how many there are.
 */
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useRef, useState, type KeyboardEvent, type ReactNode } from "react";

export interface Column<T> {
  readonly key: string;
  readonly head: string;
  readonly cell: (row: T) => ReactNode;
  /** How it grows, shrinks and begins, as CSS writes flex: "2 1 8rem". */
  readonly width: string;
  /** Left out on narrow screens: `medium` below tablets, `wide` below desktops. */
  readonly from?: "medium" | "wide";
  readonly numeric?: true;
}

interface Props<T> {
  readonly label: string;
  readonly columns: readonly Column<T>[];
  readonly rows: readonly T[];
  readonly keyOf: (row: T) => string;
  readonly onOpen?: (row: T) => void;
  readonly empty: ReactNode;
  readonly rowHeight?: number;
}

const ROW_HEIGHT = 44;
const OVERSCAN = 8;
const PAGE_ROWS = 12;

export function VirtualTable<T>(props: Props<T>) {
  const { label, columns, rows, keyOf, onOpen, empty, rowHeight = ROW_HEIGHT } = props;
  const scroller = useRef<HTMLDivElement>(null);
  const [active, setActive] = useState(0);
  const wanted = useRef(false);
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => rowHeight,
    overscan: OVERSCAN,
    getItemKey: (index) => {
      const row = rows[index];
      return row === undefined ? index : keyOf(row);
    },
  });
  const at = Math.min(active, Math.max(0, rows.length - 1));

  useEffect(() => {
    if (!wanted.current) return;
    // A row far away exists only after the table has been scrolled there, some drawings later.
    const row = scroller.current?.querySelector<HTMLElement>(`[data-index="${at}"]`);
    if (row === null || row === undefined) return;
    wanted.current = false;
    row.focus({ preventScroll: true });
  });

  const go = (index: number): void => {
    const next = Math.min(Math.max(0, index), rows.length - 1);
    wanted.current = true;
    setActive(next);
    virtual.scrollToIndex(next, { align: "auto" });
  };
  const onKey = (event: KeyboardEvent<HTMLDivElement>): void => {
    // Keys inside a button of a row are that button's.
    if (event.target instanceof HTMLElement && event.target.getAttribute("role") !== "row") return;
    const to = {
      ArrowDown: at + 1,
      ArrowUp: at - 1,
      Home: 0,
      End: rows.length - 1,
      PageDown: at + PAGE_ROWS,
      PageUp: at - PAGE_ROWS,
    }[event.key];
    const row = rows[at];
    if (to !== undefined) go(to);
    else if ((event.key === "Enter" || event.key === " ") && row !== undefined) onOpen?.(row);
    else return;
    event.preventDefault();
  };

  if (rows.length === 0) return <div className="gw-empty">{empty}</div>;
  return (
    <div
      className="gw-table"
      role="grid"
      aria-label={label}
      aria-rowcount={rows.length + 1}
      aria-colcount={columns.length}
    >
      <div className="gw-table-head" role="rowgroup">
        <div role="row" aria-rowindex={1}>
          {columns.map((column, index) => (
            <span
              key={column.key}
              role="columnheader"
              aria-colindex={index + 1}
              style={{ flex: column.width }}
              data-from={column.from}
              data-numeric={column.numeric}
            >
              {column.head}
            </span>
          ))}
        </div>
      </div>
      <div
        className="gw-table-body"
        role="rowgroup"
        ref={scroller}
        onKeyDown={onKey}
        style={{ "--gw-height": `${virtual.getTotalSize()}px` } as React.CSSProperties}
      >
        <div role="presentation" style={{ blockSize: virtual.getTotalSize() }}>
          {virtual.getVirtualItems().map((item) => {
            const row = rows[item.index];
            if (row === undefined) return null;
            return (
              <div
                key={item.key}
                role="row"
                aria-rowindex={item.index + 2}
                data-index={item.index}
                tabIndex={item.index === at ? 0 : -1}
                onFocus={() => setActive(item.index)}
                onClick={(event) => {
                  if (!(event.target instanceof Element) || event.target.closest("a, button, input") === null)
                    onOpen?.(row);
                }}
                style={{ transform: `translateY(${item.start}px)`, blockSize: item.size }}
                data-opens={onOpen === undefined ? undefined : true}
              >
                {columns.map((column, index) => (
                  <span
                    key={column.key}
                    role="gridcell"
                    aria-colindex={index + 1}
                    style={{ flex: column.width }}
                    data-from={column.from}
                    data-numeric={column.numeric}
                  >
                    {column.cell(row)}
                  </span>
                ))}
              </div>
            );
          })}
        </div>
      </div>
    </div>
  );
}
