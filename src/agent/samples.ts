/**
 * Which progress samples a recording keeps: at most four a second, each change of phase, and a bounded number; when
 * there are too many, every other one goes and the distance doubles. So a long migration keeps its shape.
 */
import { RECORDING_SAMPLES_MAX, SAMPLE_INTERVAL_MS, type RecordedSample } from "../api/recording.ts";

export interface Samples {
  readonly intervalMs: number;
  readonly samples: readonly RecordedSample[];
}

export const NO_SAMPLES: Samples = { intervalMs: SAMPLE_INTERVAL_MS, samples: [] };

export function withSample(
  { intervalMs, samples }: Samples,
  sample: RecordedSample,
  max: number = RECORDING_SAMPLES_MAX,
): Samples {
  const last = samples.at(-1);
  if (last !== undefined) {
    // Time does not run backwards within a recording.
    if (sample.atMs < last.atMs) return { intervalMs, samples };
    const changed = sample.progress.phase !== last.progress.phase;
    if (!changed && sample.atMs - last.atMs < intervalMs) return { intervalMs, samples };
  }
  const all = [...samples, sample];
  if (all.length <= max) return { intervalMs, samples: all };
  return { intervalMs: intervalMs * 2, samples: thinned(all, max) };
}

/** Every other one, without those that begin a phase while there is room for them; the first and the last stay. */
function thinned(all: readonly RecordedSample[], max: number): readonly RecordedSample[] {
  const begins = (index: number): boolean =>
    all[index]?.progress.phase !== all[index - 1]?.progress.phase || index === all.length - 1;
  const gentle = all.filter((_, index) => index % 2 === 0 || begins(index));
  if (gentle.length <= max) return gentle;
  return all.filter((_, index) => index % 2 === 0);
}
