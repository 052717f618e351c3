/**
 * What of a guest the other host is known to hold, asked without a relay: the prints of what was kept, against those of
 * some pages. A print is no proof; who sends pages compares bytes.
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";

import { type Kernels, PAGE_BYTES } from "../page/types.ts";
import { KEPT_HEADER_BYTES, PRINT_BYTES, readKeptHeader } from "../wire/kept.ts";
import { STORE_SLOTS_DEFAULT } from "../wire/limits.ts";
import { openKernels } from "./kernels.ts";

let kernels: Kernels | undefined;
const NOTHING: ReadonlySet<bigint> = new Set();

/** Of one page of 4 KiB. */
export function printOf(page: Uint8Array): bigint {
  kernels ??= openKernels({ pages: 2 });
  kernels.bytes.set(page);
  kernels.sums(0, PAGE_BYTES);
  return new DataView(kernels.bytes.buffer).getBigUint64(PAGE_BYTES);
}

/** Of all that the file holds: 8 bytes of each content, 192 KiB of a full store. Empty where there is no such file, or no good one. */
export function keptPrints(file: string, slots = STORE_SLOTS_DEFAULT): ReadonlySet<bigint> {
  let fd: number | undefined;
  try {
    fd = openSync(file, "r");
    const head = new Uint8Array(KEPT_HEADER_BYTES);
    const bytesRead = readSync(fd, head);
    const header = readKeptHeader(head.subarray(0, bytesRead), fstatSync(fd).size, slots);
    if (typeof header === "string") return NOTHING;
    const prints = new Uint8Array(header.used * PRINT_BYTES);
    if (readSync(fd, prints, 0, prints.byteLength, KEPT_HEADER_BYTES + header.used) < prints.byteLength)
      return NOTHING;
    const view = new DataView(prints.buffer);
    return new Set(Array.from({ length: header.used }, (_, slot) => view.getBigUint64(slot * PRINT_BYTES)));
  } catch {
    return NOTHING; // nothing was kept
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}
