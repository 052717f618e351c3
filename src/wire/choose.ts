/**
 * Which codec and level the next batches get. Decides from measurements alone; measuring is left to the relay, which
 * asks a few times a second.
 *
 * Model: with a level, guest memory moves at the slower of what the processor can encode and what the link can carry
 * of the result; without one, at the link's rate. The fastest wins, and among nearly equal ones the one that takes
 * less processor, which belongs to the guests.
 *
 * Against flapping, two rules: a change must promise a tenth more (or take less processor for at most a
 * hundredth less), and all of the last three samples must call for the same.
 */
import { Codec } from "./frame.ts";

export const LEVELS = ["off", "zstd-3", "zstd-1", "zstd1", "zstd3", "zstd6"] as const;
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
  zstd6: { codec: Codec.zstd, level: 6 },
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

/**
 * Until the relay has measured its own: zstd 1.5.7 with one reused context over blocks of 64 KiB, on one core of the
 * machine this was first built on.
 */
export const EXPECTED: Readonly<Record<LevelName, LevelMeasure>> = {
  off: { bytesPerCoreSecond: Number.POSITIVE_INFINITY, ratio: 1 },
  "zstd-3": { bytesPerCoreSecond: 650e6, ratio: 0.465 },
  "zstd-1": { bytesPerCoreSecond: 590e6, ratio: 0.41 },
  zstd1: { bytesPerCoreSecond: 510e6, ratio: 0.385 },
  zstd3: { bytesPerCoreSecond: 415e6, ratio: 0.379 },
  zstd6: { bytesPerCoreSecond: 190e6, ratio: 0.367 },
};

const MIB = 2 ** 20;
/** Below these a processor that has little else to do waits for the link also with this level. */
const FIRST_LEVELS: readonly (readonly [bytesPerSecond: number, name: LevelName])[] = [
  [8 * MIB, "zstd6"],
  [40 * MIB, "zstd3"],
];

/**
 * What to begin with on a link of this rate, before anything is measured on it. It matters: from one level to the next
 * strongest is a few per cent, which no measurement under way would be sure enough of to change for.
 */
export const firstLevelFor = (linkBytesPerSecond: number): LevelName =>
  FIRST_LEVELS.find(([limit]) => linkBytesPerSecond < limit)?.[1] ?? "zstd1";

export const SAMPLES_NEEDED = 3;
/** A change must be worth more than a measurement's noise. */
export const GAIN_NEEDED = 1.1;
/** What may be given up for a level that takes less processor. */
export const LOSS_ALLOWED = 0.99;

/** Guest bytes per second that a level moves. */
export function rateOf(name: LevelName, sample: Sample): number {
  if (name === "off") return sample.linkBytesPerSecond;
  const { bytesPerCoreSecond, ratio } = sample.levels[name] ?? EXPECTED[name];
  const encode = bytesPerCoreSecond * sample.cpuCores;
  // A ratio of nothing would promise everything: no real payload stays under one hundredth for long.
  return Math.min(encode, sample.linkBytesPerSecond / Math.max(ratio, 0.01));
}

/** The cheapest level among the nearly fastest; none at all when even the fastest gains nothing to speak of. */
function bestFor(sample: Sample): LevelName {
  const fastest = Math.max(...LEVELS.map((name) => rateOf(name, sample)));
  if (fastest < rateOf("off", sample) * GAIN_NEEDED) return "off";
  return LEVELS.find((name) => rateOf(name, sample) >= fastest * LOSS_ALLOWED) ?? "off";
}

const isWorthChanging = (current: LevelName, wanted: LevelName, sample: Sample): boolean => {
  const gain = rateOf(wanted, sample) / rateOf(current, sample);
  const cheaper = LEVELS.indexOf(wanted) < LEVELS.indexOf(current);
  return gain >= GAIN_NEEDED || (cheaper && (wanted === "off" || gain >= LOSS_ALLOWED));
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
