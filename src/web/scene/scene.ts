/** One migration as its page shows it: live, ended, or replayed up to a moment. */
import type { ClientLatency } from "../../api/latency.ts";
import type { MigrationView } from "../../api/migration.ts";
import type { Recording } from "../../api/recording.ts";
import type { Report } from "../../api/report.ts";
import type { Trail } from "../state/trail.ts";

export interface Scene {
  readonly view: MigrationView;
  readonly trail: Trail;
  /** There once it has ended, and not before the end of a replay. */
  readonly report?: Report | undefined;
  /** As far as it is known; absent where nobody outside probes the guest. */
  readonly latency?: ClientLatency | undefined;
  /** The end of the time axis; absent while nobody knows it. */
  readonly endMs?: number | undefined;
}

export const trailOf = (recording: Recording): Trail =>
  recording.samples.map(({ atMs, progress }) => ({ ...progress, elapsedMs: atMs }));

/** The longer of two courses: a page opened late has heard little, a recording is written as it goes. */
export function joined(recorded: Trail, heard: Trail): Trail {
  const from = heard[0]?.elapsedMs ?? Infinity;
  const before = recorded.filter((reading) => reading.elapsedMs < from);
  return before.length === 0 ? heard : [...before, ...heard];
}

/** The migration as it was at a moment of its recording. */
export function sceneAt(recording: Recording, atMs: number, report: Report | undefined): Scene {
  const whole = trailOf(recording);
  const endMs = whole.at(-1)?.elapsedMs ?? 0;
  const trail = whole.filter((reading) => reading.elapsedMs <= atMs);
  const now = trail.at(-1) ?? whole[0];
  const latency = report?.client_latency;
  if (atMs >= endMs) return { view: recording.view, trail: whole, report, latency, endMs };
  const { outcome: _, reason: __, code: ___, ...view } = recording.view;
  return {
    view: now === undefined ? view : { ...view, phase: now.phase, progress: now },
    trail,
    latency: latency === undefined ? undefined : latencyUntil(latency, atMs),
    endMs,
  };
}

/** Slices that were over by then: the wait of one that is not may still grow. */
function latencyUntil({ slice_ms, longest_ms }: ClientLatency, atMs: number): ClientLatency {
  return { slice_ms, longest_ms: longest_ms.slice(0, Math.floor(atMs / slice_ms)) };
}
