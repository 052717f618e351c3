/**
 * The course of one migration as readings over time: what every chart is drawn from, live and replayed. Bounded: when
 * full, the older half keeps every second reading, but never loses one where the phase or the round changed.
 */
import type { Progress } from "../../api/migration.ts";

/** One reading; `elapsedMs` is its time. */
export type Reading = Progress;
export type Trail = readonly Reading[];

/** 4 a second for five minutes, and from then on ever coarser in the past. */
export const READINGS_MAX = 1_200;
/** Closer readings than this are one, unless something changed. */
export const SPACING_MS = 200;

const turns = (before: Reading, after: Reading): boolean =>
  before.phase !== after.phase || before.round !== after.round;

export function addReading(trail: Trail, reading: Reading): Trail {
  const last = trail.at(-1);
  if (last === undefined) return [reading];
  // An agent that restarted, or an event that came twice: time does not run back.
  if (reading.elapsedMs < last.elapsedMs) return trail;
  const beforeLast = trail.at(-2);
  const fresh =
    turns(last, reading) ||
    beforeLast === undefined ||
    turns(beforeLast, last) ||
    last.elapsedMs - beforeLast.elapsedMs >= SPACING_MS;
  const longer = fresh ? [...trail, reading] : [...trail.slice(0, -1), reading];
  return longer.length > READINGS_MAX ? thin(longer) : longer;
}

function thin(trail: Trail): Trail {
  const half = trail.length >> 1;
  const kept = trail.filter((reading, index) => {
    if (index === 0 || index >= half || index % 2 === 1) return true;
    const before = trail[index - 1];
    const after = trail[index + 1];
    return (before !== undefined && turns(before, reading)) || (after !== undefined && turns(reading, after));
  });
  // A trail that only turns is cut at its start.
  return kept.length > READINGS_MAX ? kept.slice(-READINGS_MAX) : kept;
}
