/**
 * Figures over time, drawn by uPlot. For those who cannot see it there is a sentence that says the course and a table of
 * the same figures; what is drawn is decided by the caller.
 */
import { useEffect, useId, useMemo, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

import { onThemeDrawn } from "../theme.ts";
import { ChartTable } from "./chart-table.tsx";
import { plotOptions, type ChartLook } from "./plot-options.ts";

export interface ChartLine {
  readonly label: string;
  readonly values: readonly (number | null)[];
  /** A CSS custom property, as in "--gw-blue". */
  readonly color: string;
  readonly fill?: true;
}
export interface ChartBand {
  readonly fromS: number;
  readonly toS: number;
  readonly color: string;
}

/** What the charts of one page have in common. */
export interface ChartAxes {
  readonly bands?: readonly ChartBand[];
  /** The end of the time axis, when it is known before it is reached. */
  readonly endS?: number;
  /** Grows by itself, so nobody waits for the next stroke. */
  readonly live?: boolean;
  /** Charts that share a key share their cursor. */
  readonly cursorKey?: string;
}

interface Props extends ChartAxes {
  readonly title: string;
  readonly summary: string;
  readonly seconds: readonly number[];
  readonly lines: readonly ChartLine[];
  readonly format: (value: number) => string;
  /** Each line is added to those before it. */
  readonly stacked?: true;
  readonly height?: number;
  /** Where the scale ends, whatever lies above; absent: at the highest value. */
  readonly top?: number;
}

const HEIGHT = 200;
/** Figures in words change twice a second; a line drawn anew costs more and says less. */
const LIVE_DRAW_MS = 1000;
/** So much early or late is on time: charts are drawn in a frame that shows new words, not in frames of their own. */
const DRAW_SLACK_MS = 120;

export default function TimeChart(props: Props) {
  const { title, summary, seconds, lines, format, bands, stacked, height = HEIGHT, top } = props;
  const { endS, live = false, cursorKey } = props;
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(undefined);
  const look = useRef<ChartLook>({ bands: [], endS: 0, top: undefined });
  const drawnAtMs = useRef(-Infinity);
  const titleId = useId();
  const shape = JSON.stringify([lines.map((line) => ({ ...line, values: [] })), stacked, height, cursorKey]);
  const data = useMemo(() => plotData(seconds, lines, stacked === true), [seconds, lines, stacked]);
  const latest = useRef(data);
  latest.current = data;
  look.current = { bands: bands ?? [], endS: endS ?? 0, top };

  useEffect(() => {
    const element = place.current;
    if (element === null) return undefined;
    const make = (): void => {
      plot.current?.destroy();
      const options = plotOptions({
        element,
        height,
        lines,
        stacked: stacked === true,
        format,
        look,
        cursorKey,
      });
      plot.current = new uPlot(options, latest.current, element);
    };
    make();
    const stopTheme = onThemeDrawn(make);
    const sizes = new ResizeObserver(() => {
      const width = Math.floor(element.clientWidth);
      if (plot.current !== undefined && plot.current.width !== width && width > 0) {
        plot.current.setSize({ width, height });
      }
    });
    sizes.observe(element);
    return () => {
      stopTheme();
      sizes.disconnect();
      plot.current?.destroy();
      plot.current = undefined;
    };
    // `shape` names all of the lines that is not their values.
  }, [shape]);

  useEffect(() => {
    const draw = (): void => {
      drawnAtMs.current = performance.now();
      plot.current?.setData(data);
    };
    const inMs = live ? drawnAtMs.current + LIVE_DRAW_MS - performance.now() : 0;
    if (inMs <= DRAW_SLACK_MS) {
      draw();
      return undefined;
    }
    const timer = setTimeout(draw, inMs + DRAW_SLACK_MS);
    return () => clearTimeout(timer);
  }, [data, endS, live]);

  return (
    <figure className="gw-chart" aria-labelledby={titleId}>
      <figcaption id={titleId}>{title}</figcaption>
      <ul className="gw-legend" aria-hidden="true">
        {lines.map(({ label, color }) => (
          <li key={label}>
            <span style={{ "--gw-key": `var(${color})` } as React.CSSProperties} />
            {label}
          </li>
        ))}
      </ul>
      <div
        ref={place}
        className="gw-plot"
        role="img"
        aria-label={`${title}. ${summary}`}
        style={{ blockSize: height }}
      />
      <ChartTable title={title} seconds={seconds} lines={lines} format={format} />
    </figure>
  );
}

/** uPlot draws a stack as lines that are already sums. */
function plotData(
  seconds: readonly number[],
  lines: readonly ChartLine[],
  stacked: boolean,
): uPlot.AlignedData {
  if (!stacked) return [[...seconds], ...lines.map((line) => [...line.values])];
  const sums = seconds.map(() => 0);
  const stack = lines.map((line) =>
    line.values.map((value, index) => (sums[index] = (sums[index] ?? 0) + (value ?? 0))),
  );
  return [[...seconds], ...stack];
}
