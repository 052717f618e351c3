/** What the lab's Redis client writes: key and value are a function of the log's record, so that it can be checked. */
import type { Record3 } from "./records.ts";

export const writeKey = (number: number): string => `godwit:${number}`;
/** Unique per operation: a value from an earlier run, or from a copy of the guest that went back, does not pass. */
export const writeValue = (number: number, dueNs: bigint): string => `${number}.${dueNs}.${"v".repeat(32)}`;

export interface Written {
  readonly number: number;
  readonly dueNs: bigint;
}

/** The log's records with their exact times; `origin` loses them to milliseconds. */
export function parseWritten(bytes: Buffer, recordBytes: number): Written[] {
  const written: Written[] = [];
  for (let at = 0; at + recordBytes <= bytes.length; at += recordBytes) {
    written.push({ number: Number(bytes.readBigUInt64LE(at)), dueNs: bytes.readBigUInt64LE(at + 8) });
  }
  return written;
}

export type { Record3 };
