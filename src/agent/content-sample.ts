/**
 * A sample of a guest's pages, from which the way is chosen: how many hold anything, how small they get, how many the relays
 * know. What it means is decided in migration/wire-choice.ts.
 */
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { constants, zstdCompressSync } from "node:zlib";

import type { MachineSpec } from "../api/machine.ts";
import type { ContentSample } from "../migration/wire-choice.ts";
import { ramBytes } from "../qemu/args.ts";
import { evenly, type GuestRam, readRuns, RUN_BYTES } from "../qemu/guest-memory.ts";
import type { QemuProcess } from "../qemu/types.ts";
import { printOf } from "../relay/kept-prints.ts";
import { nowMs } from "./clock.ts";
import { ramRanges } from "./memory-digest.ts";

const PAGE_BYTES = 4096;
/** 256 pages in 32 runs, evenly over the guest's memory. */
const SAMPLE_RUNS = 32;
/** Asked of QEMU each run holds its main loop for some 10 µs, and waits for it. */
const SAMPLE_MS_MAX = 400;
const SAMPLE_TIMEOUT_MS = 1_000;

/** Of some of a guest's pages, whatever relays know. */
export type PageSample = Omit<ContentSample, "knownPages"> & {
  /** Of the pages that hold anything: see relay/kept-prints.ts. */
  readonly prints: readonly bigint[];
};

/** Undefined: the guest's memory cannot be seen. */
export function samplePages(ram: GuestRam): PageSample | undefined {
  const runs = readRuns(ram, evenly(ram.ramBytes, SAMPLE_RUNS));
  return runs && sampleOf(runs);
}

/** Through QEMU's monitor, where its memory cannot be seen. Undefined: the guest's pages could not be had. */
export async function askForPages(
  qemu: QemuProcess,
  machine: MachineSpec,
  accelerator: "kvm" | "tcg",
): Promise<PageSample | undefined> {
  const ranges = ramRanges(machine, accelerator);
  const offsets = evenly(ramBytes(machine, accelerator), SAMPLE_RUNS);
  const runs = await fromMonitor(
    qemu,
    offsets.map((offset) => addressOf(ranges, offset)),
  );
  return runs.length === 0 ? undefined : sampleOf(runs);
}

/** `known`: prints of what the relays' page store holds. */
export function contentOf({ prints, ...sample }: PageSample, known: ReadonlySet<bigint>): ContentSample {
  return { ...sample, knownPages: known.size === 0 ? 0 : prints.filter((print) => known.has(print)).length };
}

/** As many as it gave. */
async function fromMonitor(qemu: QemuProcess, addresses: readonly number[]): Promise<Buffer[]> {
  // A plain file, not a pipe: QEMU's main loop would wait for ever on a pipe whose reader has died.
  const file = join(qemu.handle.dir, "sample.bin");
  const runs: Buffer[] = [];
  try {
    const endMs = nowMs() + SAMPLE_MS_MAX;
    for (const val of addresses) {
      const args = { val, size: RUN_BYTES, filename: file };
      await qemu.qmp.execute("pmemsave", args, { timeoutMs: SAMPLE_TIMEOUT_MS });
      runs.push(readFileSync(file));
      if (nowMs() > endMs) break;
    }
  } catch {
    // What it gave has to do.
  } finally {
    rmSync(file, { force: true });
  }
  return runs;
}

/** For the guest; a run that would leave its range begins earlier. */
function addressOf(ranges: ReturnType<typeof ramRanges>, offset: number): number {
  let at = offset;
  for (const { start, bytes } of ranges) {
    if (at < bytes) return start + Math.min(at, Math.max(0, bytes - RUN_BYTES));
    at -= bytes;
  }
  return 0;
}

export function pagesOf(run: Buffer): Buffer[] {
  const pages: Buffer[] = [];
  for (let at = 0; at + PAGE_BYTES <= run.byteLength; at += PAGE_BYTES)
    pages.push(run.subarray(at, at + PAGE_BYTES));
  return pages;
}

const ZERO = Buffer.alloc(PAGE_BYTES);

function sampleOf(runs: readonly Buffer[]): PageSample {
  const pages = runs.flatMap(pagesOf);
  const filled = pages.filter((page) => !page.equals(ZERO));
  return {
    pages: pages.length,
    filledPages: filled.length,
    compressedShare: compressedShare(filled),
    prints: filled.map((page) => printOf(page)),
  };
}

/** Compressed together, as both a relay and multifd do: their streams know what came before. Null: there are none. */
export function compressedShare(pages: readonly Buffer[]): number | null {
  if (pages.length === 0) return null;
  const raw = Buffer.concat(pages);
  const params = { [constants.ZSTD_c_compressionLevel]: 1 };
  return zstdCompressSync(raw, { params }).byteLength / raw.byteLength;
}
