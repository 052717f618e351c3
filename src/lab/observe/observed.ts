/**
 * Remembers the windows of a guest that were observed, so that no migration is part of the baseline of a later one.
 * One line each; a lost or broken line costs a cleaner baseline and nothing else.
 */
import { appendFileSync, readFileSync } from "node:fs";
import { join } from "node:path";

import type { Span } from "./figures.ts";
import { msAfter } from "./records.ts";

const fileOf = (folder: string): string => join(folder, "observed.txt");

export function rememberObserved(folder: string, fromNs: bigint, toNs: bigint): void {
  appendFileSync(fileOf(folder), `${fromNs} ${toNs}\n`);
}

/** Windows that began before, as milliseconds after it. */
export function observedBefore(folder: string, beforeNs: bigint): Span[] {
  let text: string;
  try {
    text = readFileSync(fileOf(folder), "utf8");
  } catch {
    return [];
  }
  return [...text.matchAll(/^(\d{1,20}) (\d{1,20})$/gm)]
    .map((match) => [BigInt(match[1] ?? 0), BigInt(match[2] ?? 0)] as const)
    .filter(([fromNs]) => fromNs < beforeNs)
    .map(([fromNs, toNs]) => ({ fromMs: msAfter(fromNs, beforeNs), toMs: msAfter(toNs, beforeNs) }));
}
