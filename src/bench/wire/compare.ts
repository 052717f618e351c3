/**
 * Each arm against the best stock arm of the same contents and link, figure by figure: the strictest choice, since no
 * operator has all of them at once. Pure. Only cells whose guest was proved intact may be the best.
 */
import { geometricMean } from "../spread.ts";
import { armNamed } from "./arms.ts";
import { cellsOf } from "./cells.ts";
import { FEW_BYTES_CHANGE } from "./contents.ts";
import {
  type ArmSummary,
  type Compared,
  type Goal,
  type WireCell,
  type WireDocument,
  type WireRun,
} from "./document.ts";

type Uncompared = ReturnType<typeof cellsOf>[number];
interface Best {
  readonly arm: string;
  readonly median: number;
}

/** A fetch's pause is short by design; what its vCPUs wait for afterwards belongs to it. */
const FIGURE = {
  wire_bytes: "wire_bytes",
  total_time_ms: "total_time_ms",
  downtime_ms: "stall_ms",
  bytes_after_first_round: "bytes_after_first_round",
} as const satisfies Record<Compared, keyof WireCell>;

const sameCell = (
  a: Pick<Uncompared, "contents" | "link">,
  b: Pick<Uncompared, "contents" | "link">,
): boolean => a.contents === b.contents && a.link === b.link;

const medianOf = (cell: Uncompared, figure: Compared): number | null => cell[FIGURE[figure]]?.median ?? null;

function bestStock(cells: readonly Uncompared[], of: Uncompared, figure: Compared): Best | null {
  let best: Best | null = null;
  for (const cell of cells) {
    const median = medianOf(cell, figure);
    if (!cell.stock || !cell.verified || !sameCell(cell, of) || median === null) continue;
    if (best === null || median < best.median) best = { arm: cell.arm, median };
  }
  return best;
}

/** What papers compare with: pre-copy with nothing switched on. */
const PLAIN = "qemu-default";

function ratioToPlain(cells: readonly Uncompared[], of: Uncompared, figure: Compared): number | null {
  const plain = cells.find((cell) => cell.arm === PLAIN && sameCell(cell, of));
  const base = plain === undefined ? null : medianOf(plain, figure);
  const median = medianOf(of, figure);
  return base === null || base <= 0 || median === null ? null : median / base;
}

const each = <T>(value: (figure: Compared) => T): Record<Compared, T> => ({
  wire_bytes: value("wire_bytes"),
  total_time_ms: value("total_time_ms"),
  downtime_ms: value("downtime_ms"),
  bytes_after_first_round: value("bytes_after_first_round"),
});

export function compared(cells: readonly Uncompared[]): readonly WireCell[] {
  return cells.map((cell) => ({
    ...cell,
    ratio_to_best_stock: each((figure) => {
      const best = bestStock(cells, cell, figure);
      const median = medianOf(cell, figure);
      return best === null || median === null || best.median <= 0 ? null : median / best.median;
    }),
  }));
}

/** What the relay has to be worth; over the shaped cells, unless a goal says otherwise. */
const GOALS = {
  wireBytesGeometricMean: 0.7,
  totalTimeGeometricMean: 0.75,
  worstCell: 1.05,
  downtime: 1,
  bytesAfterFirstRound: 0.35,
} as const;

const percent = (ratio: number): string => `${ratio.toFixed(2)} ×`;

const sentence = (cell: WireCell, figure: Compared, ratio: number): string =>
  `${cell.contents} at ${cell.link}: ${figure} is ${percent(ratio)} the best stock arm's.`;

/**
 * Sent directly, whatever QEMU can do is all there is: only ways through the relay have something to show. And what an
 * earlier move saves is beside the point of the goals, which are for a guest of which nothing is known.
 */
function hasGoals(name: string): boolean {
  const arm = armNamed(name);
  return arm === undefined || (arm.settings.wire !== "direct" && arm.before === "nobody");
}

/** The largest ratio over some cells against a limit; every cell beyond it is named. */
function worstOf(
  says: string,
  limit: number,
  cells: readonly WireCell[],
  figures: readonly Compared[],
): Goal {
  const ratios = cells.flatMap((cell) =>
    figures.flatMap((figure) => {
      const ratio = cell.ratio_to_best_stock[figure];
      return ratio === null ? [] : [{ cell, figure, ratio }];
    }),
  );
  const value = ratios.length === 0 ? null : Math.max(...ratios.map(({ ratio }) => ratio));
  return {
    goal: says,
    limit,
    value,
    met: value === null ? null : value <= limit,
    misses: ratios
      .filter(({ ratio }) => ratio > limit)
      .map(({ cell, figure, ratio }) => sentence(cell, figure, ratio)),
  };
}

function meanOf(says: string, limit: number, cells: readonly WireCell[], figure: Compared): Goal {
  const known = cells.flatMap((cell) => cell.ratio_to_best_stock[figure] ?? []);
  const value = geometricMean(known);
  return { goal: says, limit, value, met: value === null ? null : value <= limit, misses: [] };
}

function summaryOf(arm: string, cells: readonly WireCell[], shapedLinks: ReadonlySet<string>): ArmSummary {
  const own = cells.filter((cell) => cell.arm === arm);
  const shaped = own.filter(({ link }) => shapedLinks.has(link));
  const few = shaped.filter(({ contents }) => FEW_BYTES_CHANGE.has(contents));
  const mean = (figure: Compared): number | null =>
    geometricMean(shaped.flatMap((cell) => cell.ratio_to_best_stock[figure] ?? []));
  const toPlain = (figure: Compared): number | null =>
    geometricMean(shaped.flatMap((cell) => ratioToPlain(cells, cell, figure) ?? []));
  return {
    arm,
    shaped_cells: shaped.filter((cell) => cell.ratio_to_best_stock.wire_bytes !== null).length,
    geometric_mean: each(mean),
    geometric_mean_to_plain: each(toPlain),
    goals: !hasGoals(arm)
      ? []
      : [
          meanOf("wire bytes, geometric mean", GOALS.wireBytesGeometricMean, shaped, "wire_bytes"),
          meanOf("total time, geometric mean", GOALS.totalTimeGeometricMean, shaped, "total_time_ms"),
          worstOf("wire bytes and total time, every cell, also unshaped", GOALS.worstCell, own, [
            "wire_bytes",
            "total_time_ms",
          ]),
          worstOf("host downtime, every cell", GOALS.downtime, shaped, ["downtime_ms"]),
          worstOf("bytes after the first round where little changes", GOALS.bytesAfterFirstRound, few, [
            "bytes_after_first_round",
          ]),
        ],
  };
}

/** Cells in the order asked for; a campaign without a single report has figures of nothing, which is said as it is. */
export function wireDocumentOf(
  runs: readonly WireRun[],
  order: Parameters<typeof cellsOf>[1],
  plot: string | null,
): WireDocument {
  const cells = compared(cellsOf(runs, order));
  const links = Object.fromEntries(runs.map((run) => [run.link, run.shaping]));
  const shapedLinks = new Set(Object.keys(links).filter((link) => links[link]?.shaped === true));
  const places = cells.filter((cell, index) => cells.findIndex((other) => sameCell(cell, other)) === index);
  const report = runs.flatMap((run) => run.report ?? [])[0];
  let environment: WireDocument["environment"] = null;
  if (report !== undefined) {
    const { link: _ofOneRun, ...rest } = report.environment;
    environment = rest;
  }
  const contents: Record<string, Record<string, string>> = {};
  for (const run of runs) contents[run.contents] = { ...contents[run.contents], [run.link]: run.says };
  return {
    apiVersion: "godwit/v1",
    kind: "Bench",
    bench: "wire",
    cells: [...cells],
    summary: {
      arms: order.arms
        .filter((arm) => cells.some((cell) => cell.arm === arm && !cell.stock))
        .map((arm) => summaryOf(arm, cells, shapedLinks)),
      best_stock: places.map((place) => ({
        contents: place.contents,
        link: place.link,
        ...each((figure) => bestStock(cells, place, figure)?.arm ?? null),
      })),
    },
    seeds: [...new Set(runs.map((run) => run.seed))],
    environment,
    links,
    contents,
    arms: Object.fromEntries(runs.map((run) => [run.arm, run.shows])),
    plot,
  };
}
