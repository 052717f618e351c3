/**
 * The order of runs. Every repetition runs each arm once, in an order drawn from a seed that is printed: what drifts
 * on the machine during a campaign then meets all arms alike, and the same campaign can be run again.
 */

/** Mulberry32: 32 bits of state are plenty for an order, and anybody can repeat it from the seed. */
export function chance(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Fisher and Yates. */
export function shuffled<T>(items: readonly T[], next: () => number): readonly T[] {
  const order = [...items];
  for (let last = order.length - 1; last > 0; last -= 1) {
    const other = Math.floor(next() * (last + 1));
    [order[last], order[other]] = [order[other] as T, order[last] as T];
  }
  return order;
}

/** One list per repetition. */
export function repetitions<T>(arms: readonly T[], runs: number, seed: number): readonly (readonly T[])[] {
  const next = chance(seed);
  return Array.from({ length: runs }, () => shuffled(arms, next));
}
