/**
 * Which technique is over soonest, where the choice was left to the agent: pre-copy, unless the guest changes its memory so
 * fast that fetching each page once is clearly shorter. Pre-copy harms a guest least, so it needs no better reason than
 * that nothing speaks against it, and has the doubt on its side.
 *
 * Model: the first round goes at the rate of all pages, those after it at the rate of the pages that change, which may
 * compress less. Each is as long as the one before times the rate of change over that rate, so all of them together take the
 * first one's time ÷ (1 − that ratio); from 1 on they never end (Clark et al., NSDI 2005). Fetching takes the time of one
 * plain stream, for which the source has the processor that its guest has left. Through the relays a page that changed is a
 * difference, and what copying again costs is not known: there the guest is copied.
 */
import type { TechniqueName } from "../api/migration.ts";
import { formatDuration, formatRate } from "../std/units.ts";
import { chooseWire, type DirectRates, directRates, type WireFacts } from "./wire-choice.ts";

/** Of pages of the guest's memory, seen twice. */
export interface MemoryChange {
  readonly pages: number;
  readonly changedPages: number;
  /** Between the two looks. */
  readonly ms: number;
  /** Of what has changed, after zstd level 1; null when nothing has. */
  readonly compressedShare: number | null;
}

export interface TechniqueFacts extends WireFacts {
  readonly change: MemoryChange | undefined;
  /** Why fetching is out of the question. */
  readonly cannotFetch?: string | undefined;
}

export interface ChosenTechnique {
  readonly technique: Extract<TechniqueName, "pre-copy" | "post-copy">;
  readonly reason: string;
}

/** What fetching must gain in time: it costs the guest stalls, and its safety until all pages are there. */
const GAIN_NEEDED = 1.1;
/** Copying that is hardly faster than change is as good as never over. */
const RATIO_MAX = 0.95;
/** Below it copying again costs next to nothing, and fetching could only gain what a plain stream may be faster by. */
const RATIO_QUIET = 0.1;

export function chooseTechnique(facts: TechniqueFacts): ChosenTechnique {
  const { cannotFetch, change } = facts;
  const copy = (why: string): ChosenTechnique => ({ technique: "pre-copy", reason: `Pre-copy: ${why}.` });
  if (chooseWire(facts).plan.path === "relay") return copy("relays send of what changes what differs");
  if (cannotFetch !== undefined) return copy(cannotFetch);
  if (facts.settings.native !== undefined) return copy("with QEMU's own settings for it");
  const rates = directRates(facts, change?.compressedShare);
  if (rates === undefined || change === undefined) return copy("how much changes could not be measured");
  const ratio = ratioOf(facts.ramBytes, change, rates);
  const onceMs = (rates.filledBytes / rates.inRoundsPerSecond) * 1000;
  const copyMs = ratio < RATIO_MAX ? onceMs / (1 - ratio) : Number.POSITIVE_INFINITY;
  const fetchMs = (rates.filledBytes / rates.plainPerSecond) * 1000;
  const copying = Number.isFinite(copyMs) ? `is over in ${formatDuration(copyMs)}` : "never ends";
  const numbers = `about ${formatRate(changePerSecond(facts.ramBytes, change))} change (${change.changedPages} of ${change.pages} pages in ${formatDuration(change.ms)}), copying at ${formatRate(rates.inRoundsPerSecond)} and then ${formatRate(rates.changedPerSecond)} ${copying}, fetching in ${formatDuration(fetchMs)}`;
  return ratio >= RATIO_QUIET && fetchMs * GAIN_NEEDED < copyMs
    ? { technique: "post-copy", reason: `Post-copy: ${numbers}.` }
    : copy(numbers);
}

/** A short look tells a quiet guest from others, and no more: false when it has to be a longer one. */
export function isQuiet({ change, ...facts }: TechniqueFacts): boolean {
  const rates = directRates(facts, change?.compressedShare);
  return rates === undefined || change === undefined || ratioOf(facts.ramBytes, change, rates) < RATIO_QUIET;
}

const changePerSecond = (ramBytes: number, { pages, changedPages, ms }: MemoryChange): number =>
  pages === 0 || ms <= 0 ? 0 : ((changedPages / pages) * ramBytes * 1000) / ms;

const ratioOf = (ramBytes: number, change: MemoryChange, { changedPerSecond }: DirectRates): number =>
  changePerSecond(ramBytes, change) / changedPerSecond;
