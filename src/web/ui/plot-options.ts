/** How uPlot is told to draw: colours of the theme, bands behind the lines, axes in our units. */
import type { RefObject } from "react";
import type uPlot from "uplot";

import type { ChartBand, ChartLine } from "./time-chart.tsx";

export interface ChartLook {
  readonly bands: readonly ChartBand[];
  readonly endS: number;
  readonly top: number | undefined;
}

interface Wanted {
  readonly element: HTMLElement;
  readonly height: number;
  readonly lines: readonly ChartLine[];
  readonly stacked: boolean;
  readonly format: (value: number) => string;
  readonly look: RefObject<ChartLook>;
  readonly cursorKey: string | undefined;
}

const AXIS_WIDTH = 74;
const FONT = "11px RedHatText, system-ui, sans-serif";

export function plotOptions(wanted: Wanted): uPlot.Options {
  const { element, height, lines, stacked, format, look, cursorKey } = wanted;
  const style = getComputedStyle(document.documentElement);
  // Asked for with every drawing, and the same until the theme changes; then all of this is made anew.
  const colors = new Map<string, string>();
  const color = (name: string): string => {
    const known = colors.get(name) ?? style.getPropertyValue(name).trim();
    colors.set(name, known);
    return known;
  };
  const grid = { stroke: color("--gw-grid"), width: 1 };
  const axis = { stroke: color("--gw-subtle"), font: FONT, grid, ticks: { show: false } };
  return {
    width: Math.max(200, Math.floor(element.clientWidth)),
    height,
    legend: { show: false },
    cursor: {
      y: false,
      drag: { x: false, y: false },
      points: { size: 6 },
      ...(cursorKey === undefined ? {} : { sync: { key: cursorKey } }),
    },
    scales: {
      x: {
        time: false,
        // Not the bounds it is given: of a single reading uPlot makes an axis of a hundred.
        range: (plot) => [0, Math.max(1, plot.data[0].at(-1) ?? 0, look.current.endS)],
      },
      y: { range: (_, __, max) => [0, Math.max(Math.min(max ?? 0, look.current.top ?? Infinity), 1) * 1.08] },
    },
    axes: [
      { ...axis, values: (_, splits) => splits.map((second) => `${second} s`), size: 26 },
      {
        ...axis,
        // Without a reading there is no scale to speak of.
        values: (plot, splits) =>
          splits.map((value) => (value === 0 ? "0" : isEmpty(plot.data) ? "" : format(value))),
        size: AXIS_WIDTH,
        incrs: BINARY_STEPS,
      },
    ],
    series: [
      {},
      ...lines.map((line): uPlot.Series => {
        const stroke = color(line.color);
        return {
          label: line.label,
          stroke,
          width: stacked ? 1 : 2,
          points: { show: false },
          ...(stacked
            ? { fill: `${stroke}${STACK_ALPHA}` }
            : line.fill === true
              ? { fill: `${stroke}${FILL_ALPHA}` }
              : {}),
        };
      }),
    ],
    ...(stacked
      ? { bands: lines.slice(1).map((_, index) => ({ series: [index + 2, index + 1] as [number, number] })) }
      : {}),
    hooks: { drawClear: [(plot) => drawBands(plot, look.current.bands, color)] },
  };
}

/** Every figure drawn is counted in binary units: ticks fall on whole ones. */
const BINARY_STEPS = Array.from({ length: 46 }, (_, power) => 2 ** power);

const isEmpty = ([, ...lines]: uPlot.AlignedData): boolean =>
  (lines as readonly (readonly (number | null | undefined)[])[]).every((line) =>
    line.every((value) => value === null || value === undefined),
  );

/** Two hexadecimal digits after a #rrggbb. */
const FILL_ALPHA = "2b";
const STACK_ALPHA = "cc";

function drawBands(plot: uPlot, bands: readonly ChartBand[], color: (name: string) => string): void {
  const { ctx, bbox } = plot;
  ctx.save();
  for (const { fromS, toS, color: name } of bands) {
    const from = Math.max(plot.valToPos(fromS, "x", true), bbox.left);
    const to = Math.min(plot.valToPos(toS, "x", true), bbox.left + bbox.width);
    if (!(to > from - 2)) continue;
    ctx.fillStyle = color(name);
    ctx.fillRect(from, bbox.top, Math.max(to - from, 2), bbox.height);
  }
  ctx.restore();
}
