/**
 * Which codec and level the next batches get. Decides from measurements alone; measuring is left to the relay, which
 * asks about once a second and also sends a batch at another level now and then, so that levels stay measured.
 *
 * Model: with a level, guest memory moves at the slower of what the processor can encode and what the link can carry
 * of the result; without one, at the link's rate. The fastest wins, and among nearly equal ones the one that takes
 * less processor, which belongs to the guests.
 *
 * Against flapping, two rules: a change must promise a tenth more (or take less processor for at most a twentieth
 * less), and all of the last three samples must call for the same.
 */
import { Codec } from "./frame.ts";

export const LEVELS = ["off", "zstd-3", "zstd-1", "zstd1", "zstd3"] as const;
export type LevelName = (typeof LEVELS)[number];

export interface Level {
  readonly codec: Codec;
  /** zstd's own numbers; negative ones are its fast levels. 0 with no codec. */
  readonly level: number;
}

/** In the order of the processor they take. */
export const LEVEL: Readonly<Record<LevelName, Level>> = {
  off: { codec: Codec.none, level: 0 },
  "zstd-3": { codec: Codec.zstd, level: -3 },
  "zstd-1": { codec: Codec.zstd, level: -1 },
  zstd1: { codec: Codec.zstd, level: 1 },
  zstd3: { codec: Codec.zstd, level: 3 },
};

export interface LevelMeasure {
  /** Of payload into the codec, on one core that has nothing else to do. */
  readonly bytesPerCoreSecond: number;
  /** Compressed by raw length, of payloads of this guest. */
  readonly ratio: number;
}

export interface Sample {
  /** What the connections together carried while they were kept busy, or the cap if that is lower. */
  readonly linkBytesPerSecond: number;
  /** Cores the codec may use: idle ones, no more than it has threads. */
  readonly cpuCores: number;
  /** Levels measured lately. */
  readonly levels: Readonly<Partial<Record<LevelName, LevelMeasure>>>;
}

export interface ChoiceHistory {
  readonly current: LevelName;
  /** Oldest first. */
  readonly samples: readonly Sample[];
}

/** Only until the relay has measured its own: these are guesses, near what a freshly booted guest showed at zstd 1. */
const EXPECTED: Readonly<Record<LevelName, LevelMeasure>> = {
  off: { bytesPerCoreSecond: Number.POSITIVE_INFINITY, ratio: 1 },
  "zstd-3": { bytesPerCoreSecond: 700e6, ratio: 0.52 },
  "zstd-1": { bytesPerCoreSecond: 550e6, ratio: 0.47 },
  zstd1: { bytesPerCoreSecond: 400e6, ratio: 0.41 },
  zstd3: { bytesPerCoreSecond: 220e6, ratio: 0.37 },
};

export const SAMPLES_NEEDED = 3;
/** A change must be worth more than a measurement's noise. */
export const GAIN_NEEDED = 1.1;
/** What may be given up for a level that takes less processor. */
export const LOSS_ALLOWED = 0.95;

/** Guest bytes per second that a level moves. */
export function rateOf(name: LevelName, sample: Sample): number {
  if (name === "off") return sample.linkBytesPerSecond;
  const { bytesPerCoreSecond, ratio } = sample.levels[name] ?? EXPECTED[name];
  const encode = bytesPerCoreSecond * sample.cpuCores;
  // A ratio of nothing would promise everything: no real payload stays under one hundredth for long.
  return Math.min(encode, sample.linkBytesPerSecond / Math.max(ratio, 0.01));
}

/** The cheapest level among the nearly fastest. */
function bestFor(sample: Sample): LevelName {
  const fastest = Math.max(...LEVELS.map((name) => rateOf(name, sample)));
  return LEVELS.find((name) => rateOf(name, sample) >= fastest * LOSS_ALLOWED) ?? "off";
}

const isWorthChanging = (current: LevelName, wanted: LevelName, sample: Sample): boolean => {
  const gain = rateOf(wanted, sample) / rateOf(current, sample);
  const cheaper = LEVELS.indexOf(wanted) < LEVELS.indexOf(current);
  return gain >= GAIN_NEEDED || (cheaper && gain >= LOSS_ALLOWED);
};

/** `current` unless the last samples agree on another that is worth it. */
export function chooseLevelName({ current, samples }: ChoiceHistory): LevelName {
  const last = samples.slice(-SAMPLES_NEEDED);
  const [first] = last;
  if (last.length < SAMPLES_NEEDED || first === undefined) return current;
  const wanted = bestFor(first);
  const agreed = last.every(
    (sample) => bestFor(sample) === wanted && isWorthChanging(current, wanted, sample),
  );
  return agreed ? wanted : current;
}

export const chooseLevel = (history: ChoiceHistory): Level => LEVEL[chooseLevelName(history)];
