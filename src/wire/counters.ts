/**
 * What became of the pages: per class, how many and how many bytes they cost before compression. Plain data, so that
 * it travels as JSON.
 */
import { PAGE_BYTES } from "../page/types.ts";
import type { Op } from "./batch.ts";

export const PAGE_CLASSES = ["zero", "unchanged", "delta", "duplicate", "similar", "literal"] as const;
export type PageClass = (typeof PAGE_CLASSES)[number];

export interface ClassCount {
  readonly pages: number;
  /** Of the payload: deltas and literals. What columns cost is in the batch's length. */
  readonly payloadBytes: number;
}
export type PageCounters = Readonly<Record<PageClass, ClassCount>>;

export class PageTally {
  readonly #pages = new Float64Array(PAGE_CLASSES.length);
  readonly #bytes = new Float64Array(PAGE_CLASSES.length);

  add(op: Op, payloadBytes: number): void {
    this.#pages[op - 1] = (this.#pages[op - 1] ?? 0) + 1;
    this.#bytes[op - 1] = (this.#bytes[op - 1] ?? 0) + payloadBytes;
  }

  clear(): void {
    this.#pages.fill(0);
    this.#bytes.fill(0);
  }

  counters(): PageCounters {
    const of = (at: number): ClassCount => ({
      pages: this.#pages[at] ?? 0,
      payloadBytes: this.#bytes[at] ?? 0,
    });
    return { zero: of(0), unchanged: of(1), delta: of(2), duplicate: of(3), similar: of(4), literal: of(5) };
  }
}

export const noPages = (): PageCounters => new PageTally().counters();

export const sumOf = (one: PageCounters, other: PageCounters): PageCounters => {
  const of = (name: PageClass): ClassCount => ({
    pages: one[name].pages + other[name].pages,
    payloadBytes: one[name].payloadBytes + other[name].payloadBytes,
  });
  return {
    zero: of("zero"),
    unchanged: of("unchanged"),
    delta: of("delta"),
    duplicate: of("duplicate"),
    similar: of("similar"),
    literal: of("literal"),
  };
};

/** `pages` of the report; their sum is the number of page records that QEMU sent. */
export interface ReportPages {
  readonly zero: number;
  readonly raw: number;
  readonly compressed: number;
  readonly delta: number;
  readonly duplicate: number;
  readonly unchanged: number;
  readonly referenced: number;
}

/**
 * zero, delta, duplicate and unchanged keep their names. `similar` is `referenced`: a delta against another page. A
 * literal is `raw` when its batch travelled without a codec and `compressed` when with one, so the batches are
 * counted apart.
 */
export const reportPages = (uncoded: PageCounters, coded: PageCounters): ReportPages => {
  const both = sumOf(uncoded, coded);
  return {
    zero: both.zero.pages,
    raw: uncoded.literal.pages,
    compressed: coded.literal.pages,
    delta: both.delta.pages,
    duplicate: both.duplicate.pages,
    unchanged: both.unchanged.pages,
    referenced: both.similar.pages,
  };
};

/** Guest memory that these pages stand for. */
export const guestBytes = (counters: PageCounters): number =>
  PAGE_CLASSES.reduce((sum, name) => sum + counters[name].pages * PAGE_BYTES, 0);
