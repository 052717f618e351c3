/** A figure over the runs of a cell: its median and its least and most. What no run measured has none. */
import { z } from "zod";

export const spread = z.strictObject({ median: z.number(), min: z.number(), max: z.number(), n: z.int() });
export type Spread = z.infer<typeof spread>;

export function spreadOf(values: readonly (number | null)[]): Spread | null {
  const inOrder = values.filter((value) => value !== null).sort((a, b) => a - b);
  const [min, max] = [inOrder[0], inOrder.at(-1)];
  if (min === undefined || max === undefined) return null;
  const upper = inOrder[Math.floor(inOrder.length / 2)] ?? max;
  const lower = inOrder[Math.ceil(inOrder.length / 2) - 1] ?? min;
  return { median: (lower + upper) / 2, min, max, n: inOrder.length };
}

/** Of ratios, the mean that treats a half and a double as equally far from one. Null of nothing. */
export function geometricMean(ratios: readonly number[]): number | null {
  if (ratios.length === 0) return null;
  return Math.exp(ratios.reduce((sum, ratio) => sum + Math.log(ratio), 0) / ratios.length);
}
