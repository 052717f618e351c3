/**
 * The comparison as a picture: per link and figure one panel, per contents one group, per arm one bar whose length is
 * the ratio to the best stock arm. Pure: a document in, SVG text out. Colours follow the reader's light or dark scheme;
 * no cell is told by colour alone, since each bar is titled and ours are outlined.
 */
import type { Compared, WireCell, WireDocument } from "./document.ts";

const PANELS: readonly { readonly figure: Compared; readonly title: string; readonly goal: number }[] = [
  { figure: "wire_bytes", title: "bytes on the wire", goal: 0.7 },
  { figure: "total_time_ms", title: "total time", goal: 0.75 },
  { figure: "downtime_ms", title: "host downtime (post-copy: with stalls)", goal: 1 },
];
/** Bars beyond are cut and say their ratio. */
const RATIO_MAX = 2.5;
const GRID = [0.5, 1, 1.5, 2, 2.5];

const LEFT = 120;
const TOP = 92;
/** Behind the longest bar there is room for its ratio. */
const PANEL = { width: 300, scale: 272, gap: 36 } as const;
const BAR = { height: 9, gap: 2 } as const;
const GROUP_GAP = 12;
const LINK_GAP = 46;
const FOOT = 42;

/** Light and dark, chosen for 3:1 against both grounds; stock arms are the quiet ones. */
const STOCK = [
  ["#8d99a6", "#76828f"],
  ["#a3a07f", "#8a876a"],
  ["#7f9fa3", "#6b888c"],
  ["#a68d99", "#8c7681"],
  ["#6f8096", "#8494a8"],
  ["#9c8f7a", "#9a8d78"],
] as const;
const OURS = [
  ["#1f77b4", "#5aa9e6"],
  ["#c2410c", "#fb923c"],
  ["#15803d", "#4ade80"],
  ["#7e22ce", "#c084fc"],
] as const;

const escape = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

const unique = (names: readonly string[]): readonly string[] => [...new Set(names)];

interface ArmStyle {
  readonly arm: string;
  readonly stock: boolean;
  readonly name: string;
}

export function plotOf(document: WireDocument): string {
  const arms = stylesOf(document.cells);
  const links = unique(document.cells.map(({ link }) => link));
  const body: string[] = [];
  let top = TOP;
  for (const link of links) {
    const cells = document.cells.filter((cell) => cell.link === link);
    const rows = rowsOf(cells, arms);
    body.push(text(LEFT, top - 22, link, "link"));
    for (const [index, panel] of PANELS.entries()) {
      const left = LEFT + index * (PANEL.width + PANEL.gap);
      body.push(axis(left, top, rows.height, panel.goal));
      if (index === 0) body.push(...rows.names.map(({ name, y }) => text(LEFT - 8, top + y, name, "name")));
      for (const { cell, arm, y } of rows.bars) body.push(bar(cell, arm, panel.figure, left, top + y));
    }
    top += rows.height + LINK_GAP;
  }
  const width = LEFT + PANELS.length * (PANEL.width + PANEL.gap);
  const height = top - LINK_GAP + FOOT;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" ` +
      'role="img" aria-label="Each arm against the best stock arm">',
    `<style>${styleSheet(arms)}</style>`,
    `<rect class="ground" width="${width}" height="${height}"/>`,
    text(
      LEFT,
      20,
      "Each arm against the best stock arm of the same contents and link; shorter is better",
      "title",
    ),
    ...legend(arms),
    ...PANELS.map(({ title }, index) =>
      text(LEFT + index * (PANEL.width + PANEL.gap) + PANEL.width, TOP - 22, title, "panel"),
    ),
    ...body,
    text(LEFT, height - 8, "Solid line: the best stock arm. Dashed: the goal. ×: no run was done.", "foot"),
    "</svg>",
    "",
  ].join("\n");
}

function stylesOf(cells: readonly WireCell[]): readonly ArmStyle[] {
  let stock = 0;
  let own = 0;
  return unique(cells.map(({ arm }) => arm)).map((arm) => {
    const isStock = cells.some((cell) => cell.arm === arm && cell.stock);
    return { arm, stock: isStock, name: isStock ? `s${stock++ % STOCK.length}` : `o${own++ % OURS.length}` };
  });
}

function rowsOf(
  cells: readonly WireCell[],
  arms: readonly ArmStyle[],
): {
  readonly bars: readonly { readonly cell: WireCell; readonly arm: ArmStyle; readonly y: number }[];
  readonly names: readonly { readonly name: string; readonly y: number }[];
  readonly height: number;
} {
  const bars: { cell: WireCell; arm: ArmStyle; y: number }[] = [];
  const names: { name: string; y: number }[] = [];
  let y = 0;
  for (const name of unique(cells.map(({ contents }) => contents))) {
    const from = y;
    for (const arm of arms) {
      const cell = cells.find((one) => one.contents === name && one.arm === arm.arm);
      if (cell === undefined) continue;
      bars.push({ cell, arm, y });
      y += BAR.height + BAR.gap;
    }
    names.push({ name, y: (from + y) / 2 + 4 });
    y += GROUP_GAP;
  }
  return { bars, names, height: y - GROUP_GAP };
}

const lengthOf = (ratio: number): number => (Math.min(ratio, RATIO_MAX) / RATIO_MAX) * PANEL.scale;

function bar(cell: WireCell, arm: ArmStyle, figure: Compared, left: number, y: number): string {
  const ratio = cell.ratio_to_best_stock[figure];
  const label = `${cell.contents}, ${cell.link}, ${cell.arm}`;
  if (ratio === null) {
    const why = cell.runs > 0 && cell.failed === cell.runs ? "no run was done" : "nothing to compare";
    return `<g><title>${escape(`${label}: ${why}`)}</title>${text(left + 3, y + 8, "×", "none")}</g>`;
  }
  const width = lengthOf(ratio);
  const said =
    ratio > RATIO_MAX || !arm.stock ? text(left + width + 4, y + 8, ratio.toFixed(2), "ratio") : "";
  const title = `<title>${escape(`${label}: ${ratio.toFixed(3)}`)}</title>`;
  return (
    `<g>${title}<rect class="bar ${arm.name}" x="${left}" y="${y}" width="${width.toFixed(1)}" ` +
    `height="${BAR.height}"/>${said}</g>`
  );
}

function axis(left: number, top: number, height: number, goal: number): string {
  const line = (ratio: number, name: string): string => {
    const x = (left + lengthOf(ratio)).toFixed(1);
    return `<line class="${name}" x1="${x}" x2="${x}" y1="${top - 4}" y2="${top + height + 4}"/>`;
  };
  return [
    ...GRID.map((ratio) => line(ratio, ratio === 1 ? "one" : "grid")),
    ...(goal === 1 ? [] : [line(goal, "goal")]),
    ...GRID.map((ratio) => text(left + lengthOf(ratio), top + height + 15, String(ratio), "tick")),
  ].join("");
}

function legend(arms: readonly ArmStyle[]): string[] {
  let x = LEFT;
  return arms.map(({ arm, name }) => {
    const at = x;
    x += 22 + arm.length * 6.6;
    return `<rect class="bar ${name}" x="${at}" y="34" width="10" height="10"/>${text(at + 14, 43, arm, "key")}`;
  });
}

const text = (x: number, y: number, words: string, name: string): string =>
  `<text class="${name}" x="${x.toFixed(1)}" y="${y.toFixed(1)}">${escape(words)}</text>`;

function styleSheet(arms: readonly ArmStyle[]): string {
  const fills = (scheme: 0 | 1): string =>
    arms
      .map(({ name }) => {
        const table = name.startsWith("s") ? STOCK : OURS;
        return `.${name}{fill:${table[Number(name.slice(1))]?.[scheme] ?? "none"}}`;
      })
      .join("");
  return (
    "text{font:11px system-ui,sans-serif;fill:#1f2328}.ground{fill:#fff}.title{font-size:14px;font-weight:600}" +
    ".link{font-size:13px;font-weight:600}.name,.panel{text-anchor:end}.tick{text-anchor:middle;font-size:9px}" +
    ".ratio{font-size:9px}.grid{stroke:#d0d7de}.one{stroke:#1f2328}.goal{stroke:#1f2328;stroke-dasharray:3 3}" +
    `.foot,.tick{fill:#59636e}${fills(0)}` +
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.ground{fill:#0d1117}.grid{stroke:#30363d}" +
    `.one,.goal{stroke:#e6edf3}.foot,.tick{fill:#9198a1}${fills(1)}}`
  );
}
