/**
 * Measures what wire/choose.ts decides by, and keeps the level that was chosen: how fast and how well each level coded, what
 * the link carried, which cores were idle. When the level is applied, and to what, is left to source.ts. Time is handed in.
 */
import {
  chooseLevelName,
  EXPECTED,
  LEVELS,
  type LevelMeasure,
  type LevelName,
  type Sample,
  SAMPLES_NEEDED,
} from "../wire/choose.ts";
import type { CodingMeasure } from "./stripe.ts";

/** Smaller pieces are mostly the call's own time. */
const MEASURED_BYTES_MIN = 16 * 2 ** 10;
/** What the piece before a measurement was worth. */
const SMOOTHING = 0.8;
/** Frames that were on their way when the level changed. */
const SETTLING_FRAMES = 4;
/** Contents change: older measurements are forgotten. */
const MEASURED_FOR_MS = 20_000;
/** Below it the codec was waiting for something, and nothing can be said. */
const CODEC_BUSY_MIN = 0.6;
/** What a link that was not full lately may carry besides what it did: tried step by step. */
const UNKNOWN_LINK_FACTOR = 2;
/** How long a link that was full counts as no faster than it was then. */
const LINK_KNOWN_FOR_MS = 60_000;
/** Where no core is idle the scheduler still gives the codec its share. */
const CORES_MIN = 0.5;

export interface LinkMeasure {
  readonly bytesPerSecond: number;
  /** It was full at some time, and the link was what made it so. */
  readonly isLinkBusy: boolean;
  /** It was full at some time, for whatever reason. */
  readonly wasFull: boolean;
  readonly capBytesPerSecond: number | null;
}

interface Known extends LevelMeasure {
  readonly atMs: number;
}

export class LevelControl {
  readonly #threads: number;
  readonly #known = new Map<LevelName, Known>();
  #samples: Sample[] = [];
  #full: { readonly bytesPerSecond: number; readonly atMs: number } | undefined;
  #current: LevelName;
  #settling = 0;
  #codecMs = 0;
  #atMs: number;

  /** `threads`: how many pieces can be coded at the same time. */
  constructor(initial: LevelName, threads: number, nowMs: number) {
    this.#current = initial;
    this.#threads = threads;
    this.#atMs = nowMs;
  }

  get current(): LevelName {
    return this.#current;
  }

  coded({ rawBytes, wireBytes, codecMs }: CodingMeasure, nowMs: number): void {
    if (codecMs === undefined) return;
    this.#codecMs += codecMs;
    if (this.#settling > 0) {
      this.#settling -= 1;
      return;
    }
    if (rawBytes < MEASURED_BYTES_MIN || codecMs <= 0 || this.#current === "off") return;
    const bytesPerCoreSecond = (rawBytes / codecMs) * 1000;
    const ratio = wireBytes / rawBytes;
    const known = this.#known.get(this.#current);
    this.#known.set(this.#current, {
      atMs: nowMs,
      bytesPerCoreSecond: smoothed(known?.bytesPerCoreSecond, bytesPerCoreSecond),
      ratio: smoothed(known?.ratio, ratio),
    });
  }

  /** About four times a second. `idleCores`: on average since the last time. */
  tick(link: LinkMeasure, idleCores: number, nowMs: number): LevelName {
    const passedMs = Math.max(1, nowMs - this.#atMs);
    const codecCores = this.#codecMs / passedMs;
    this.#atMs = nowMs;
    this.#codecMs = 0;
    const codecIsBusy = codecCores > CODEC_BUSY_MIN * this.#threads;
    if (!link.wasFull && !codecIsBusy) return this.#current;
    for (const [name, { atMs }] of this.#known) {
      if (nowMs - atMs > MEASURED_FOR_MS) this.#known.delete(name);
    }
    this.#samples.push({
      linkBytesPerSecond: Math.min(this.#capacity(link, nowMs), link.capBytesPerSecond ?? Infinity),
      // What the codec takes now it may take again.
      cpuCores: Math.max(CORES_MIN * this.#threads, Math.min(this.#threads, idleCores + codecCores)),
      levels: this.#levels(),
    });
    this.#samples = this.#samples.slice(-SAMPLES_NEEDED);
    const chosen = chooseLevelName({ current: this.#current, samples: this.#samples });
    if (chosen !== this.#current) {
      this.#current = chosen;
      this.#samples = [];
      this.#settling = SETTLING_FRAMES;
    }
    return this.#current;
  }

  #capacity({ bytesPerSecond, isLinkBusy }: LinkMeasure, nowMs: number): number {
    if (isLinkBusy) this.#full = { bytesPerSecond, atMs: nowMs };
    const full = this.#full;
    if (full === undefined || nowMs - full.atMs > LINK_KNOWN_FOR_MS)
      return bytesPerSecond * UNKNOWN_LINK_FACTOR;
    return Math.max(full.bytesPerSecond, bytesPerSecond);
  }

  /** Levels that were not measured lately are to the measured one as they are expected to be. */
  #levels(): Sample["levels"] {
    const base = this.#known.get(this.#current) === undefined ? this.#newest() : this.#current;
    const known = base === undefined ? undefined : this.#known.get(base);
    if (base === undefined || known === undefined) return {};
    const speed = known.bytesPerCoreSecond / EXPECTED[base].bytesPerCoreSecond;
    const size = known.ratio / EXPECTED[base].ratio;
    return Object.fromEntries(
      LEVELS.filter((name) => name !== "off").map((name) => [
        name,
        this.#known.get(name) ?? {
          bytesPerCoreSecond: EXPECTED[name].bytesPerCoreSecond * speed,
          ratio: Math.min(1, EXPECTED[name].ratio * size),
        },
      ]),
    );
  }

  #newest(): LevelName | undefined {
    return [...this.#known].toSorted(([, one], [, other]) => other.atMs - one.atMs)[0]?.[0];
  }
}

const smoothed = (before: number | undefined, now: number): number =>
  before === undefined ? now : before * SMOOTHING + now * (1 - SMOOTHING);
