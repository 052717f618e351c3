/**
 * The observers' logs: fixed records of three little-endian u64 (a number, when it was due or sent, when it came
 * back), all times CLOCK_MONOTONIC nanoseconds of this machine. Reads only the part a question is about: a log grows
 * by 86 MB an hour.
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";

export const RECORD_BYTES = 24;
/** Logs are written in the order of reading; kernel stamps of two sockets may differ from it by a few records. */
const SLACK_RECORDS = 64;

export interface Record3 {
  readonly number: number;
  /** Milliseconds after the origin. */
  readonly firstMs: number;
  readonly lastMs: number;
}

export const msAfter = (ns: bigint, originNs: bigint): number => Number(ns - originNs) / 1e6;

export function parseRecords(bytes: Buffer, originNs: bigint): Record3[] {
  const records: Record3[] = [];
  // A record being written while this reads is left for the next time.
  for (let at = 0; at + RECORD_BYTES <= bytes.length; at += RECORD_BYTES) {
    records.push({
      number: Number(bytes.readBigUInt64LE(at)),
      firstMs: msAfter(bytes.readBigUInt64LE(at + 8), originNs),
      lastMs: msAfter(bytes.readBigUInt64LE(at + 16), originNs),
    });
  }
  return records;
}

export function encodeRecord(number: number, firstNs: bigint, lastNs: bigint): Buffer {
  const bytes = Buffer.alloc(RECORD_BYTES);
  bytes.writeBigUInt64LE(BigInt(number), 0);
  bytes.writeBigUInt64LE(firstNs, 8);
  bytes.writeBigUInt64LE(lastNs, 16);
  return bytes;
}

/** Records that came back between two times, and a few on each side, ordered by when they came back. */
export function readRecords(file: string, fromNs: bigint, toNs: bigint, originNs: bigint): Record3[] {
  let fd: number;
  try {
    fd = openSync(file, "r");
  } catch {
    return [];
  }
  try {
    const count = Math.floor(fstatSync(fd).size / RECORD_BYTES);
    const one = Buffer.alloc(8);
    const lastNsAt = (index: number): bigint => {
      readSync(fd, one, 0, 8, index * RECORD_BYTES + 16);
      return one.readBigUInt64LE(0);
    };
    const begin = Math.max(0, firstAtLeast(count, (index) => lastNsAt(index) >= fromNs) - SLACK_RECORDS);
    const end = Math.min(count, firstAtLeast(count, (index) => lastNsAt(index) > toNs) + SLACK_RECORDS);
    const bytes = Buffer.alloc(Math.max(0, end - begin) * RECORD_BYTES);
    const got = readSync(fd, bytes, 0, bytes.length, begin * RECORD_BYTES);
    return parseRecords(bytes.subarray(0, got), originNs).sort((a, b) => a.lastMs - b.lastMs);
  } finally {
    closeSync(fd);
  }
}

/** When the newest record came back, or null when there is none. */
export function newestNs(file: string): bigint | null {
  let fd: number;
  try {
    fd = openSync(file, "r");
  } catch {
    return null;
  }
  try {
    const count = Math.floor(fstatSync(fd).size / RECORD_BYTES);
    if (count === 0) return null;
    const one = Buffer.alloc(8);
    readSync(fd, one, 0, 8, (count - 1) * RECORD_BYTES + 16);
    return one.readBigUInt64LE(0);
  } finally {
    closeSync(fd);
  }
}

/** The first of 0..count-1 for which `holds`, given that it holds for all after; `count` when for none. */
function firstAtLeast(count: number, holds: (index: number) => boolean): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (holds(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}
