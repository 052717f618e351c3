/** How much of a guest's memory changes: some of its pages, summed up twice. */
import { crc32 } from "node:zlib";

import type { MemoryChange } from "../migration/technique-choice.ts";
import { evenly, type GuestRam, readRuns } from "../qemu/guest-memory.ts";
import { nowMs } from "./clock.ts";
import { compressedShare, pagesOf } from "./content-sample.ts";

/** 1024 pages in 128 runs, evenly over the guest's memory: one look takes some ms. */
const RUNS = 128;

/** Of what has changed so many are compressed, to see how small they get. */
const COMPRESSED_PAGES_MAX = 64;

/** At a guest's memory, more than once. */
export interface Looks {
  /** Since the first. */
  readonly ms: number;
  /** What has changed since then. Undefined: the guest's memory cannot be seen. */
  change(): MemoryChange | undefined;
}

interface Look {
  readonly atMs: number;
  readonly sums: Uint32Array;
  /** Since another look. */
  readonly changed: readonly Buffer[];
}

export class MemoryLooks implements Looks {
  readonly #ram: GuestRam;
  readonly #first: Look | undefined;

  /** The first look. */
  constructor(ram: GuestRam) {
    this.#ram = ram;
    this.#first = this.#look();
  }

  get ms(): number {
    return this.#first === undefined ? 0 : nowMs() - this.#first.atMs;
  }

  change(): MemoryChange | undefined {
    const before = this.#first;
    const now = before && this.#look(before.sums);
    if (before === undefined || now === undefined) return undefined;
    const { sums, changed, atMs } = now;
    return {
      pages: sums.length,
      changedPages: changed.length,
      ms: atMs - before.atMs,
      compressedShare: compressedShare(changed.slice(0, COMPRESSED_PAGES_MAX)),
    };
  }

  #look(before?: Uint32Array): Look | undefined {
    const atMs = nowMs();
    const runs = readRuns(this.#ram, evenly(this.#ram.ramBytes, RUNS));
    if (runs === undefined) return undefined;
    const pages = runs.flatMap(pagesOf);
    const sums = Uint32Array.from(pages, (page) => crc32(page));
    const changed = before === undefined ? [] : pages.filter((_page, at) => sums[at] !== before[at]);
    return { atMs, sums, changed };
  }
}
