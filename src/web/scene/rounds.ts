/** Rounds and phases of a migration as bars over time, from its readings while it runs and from the report after. */
import type { PhaseName } from "../../api/migration.ts";
import type { Report } from "../../api/report.ts";
import type { Trail } from "../state/trail.ts";

export interface RoundBar {
  readonly round: number;
  readonly startMs: number;
  readonly endMs: number;
  readonly sentBytes: number;
  /** Left to send when it ended: what the next one has to carry. */
  readonly leftBytes: number;
}

export function roundsOfTrail(trail: Trail): readonly RoundBar[] {
  const bars: RoundBar[] = [];
  let sentBefore = 0;
  for (const reading of trail) {
    if (reading.phase !== "copying" || reading.round === 0) continue;
    const last = bars.at(-1);
    if (last !== undefined && last.round >= reading.round) {
      bars[bars.length - 1] = {
        ...last,
        endMs: reading.elapsedMs,
        sentBytes: reading.sentBytes - sentBefore,
        leftBytes: reading.remainingBytes,
      };
      continue;
    }
    if (last !== undefined) {
      bars[bars.length - 1] = { ...last, endMs: reading.elapsedMs };
      sentBefore += last.sentBytes;
    }
    bars.push({
      round: reading.round,
      startMs: reading.elapsedMs,
      endMs: reading.elapsedMs,
      sentBytes: Math.max(0, reading.sentBytes - sentBefore),
      leftBytes: reading.remainingBytes,
    });
  }
  return bars;
}

export const roundsOfReport = (report: Report): readonly RoundBar[] =>
  report.rounds.map(({ round, startMs, durationMs, sentBytes, dirtyBytes }) => ({
    round,
    startMs,
    endMs: startMs + durationMs,
    sentBytes,
    leftBytes: dirtyBytes,
  }));

export interface PhaseSpan {
  readonly phase: PhaseName;
  readonly startMs: number;
  readonly endMs: number;
}

/** One span per stay in a phase; the last one ends with the newest reading. */
export function phasesOfTrail(trail: Trail): readonly PhaseSpan[] {
  const spans: PhaseSpan[] = [];
  for (const { phase, elapsedMs } of trail) {
    const last = spans.at(-1);
    if (last !== undefined) spans[spans.length - 1] = { ...last, endMs: elapsedMs };
    if (last?.phase !== phase) spans.push({ phase, startMs: elapsedMs, endMs: elapsedMs });
  }
  return spans;
}
