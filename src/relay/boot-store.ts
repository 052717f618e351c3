/**
 * Makes the page store that a pair of relays may begin with when it kept none: the contents of the files that the guest
 * was started from (boot/contents.ts). Both hosts make it from their own files; its id is a hash over the contents, so
 * it is used only where they are equal, byte by byte. It lies in a file like a kept store's (wire/kept.ts).
 */
import { createHash } from "node:crypto";
import { readFileSync, statSync } from "node:fs";

import { bootPages } from "../boot/contents.ts";
import { unpack } from "../boot/unpack.ts";
import { PAGE_BYTES } from "../page/types.ts";
import { PRINT_BYTES } from "../wire/kept.ts";
import { STORE_SLOTS_DEFAULT } from "../wire/limits.ts";
import { SlotFlag } from "../wire/slot-clock.ts";
import { writeKeptFile } from "./kept-file.ts";
import { printOf } from "./kept-prints.ts";

/** Of a store no more is filled: the guest's own contents need room from the first page on. */
const SHARE_MAX = 0.75;
const FILE_BYTES_MAX = 512 * 2 ** 20;

export interface BootStoreRequest {
  readonly kernel?: string | undefined;
  readonly initrd?: string | undefined;
  readonly file: string;
  readonly slots?: number;
}

/** @returns how many contents there are; with none no file is written. @throws when it cannot be read or written. */
export function makeBootStore({
  kernel,
  initrd,
  file,
  slots = STORE_SLOTS_DEFAULT,
}: BootStoreRequest): number {
  const files = { kernel: bytesOf(kernel), initrd: bytesOf(initrd) };
  const pages = new Map<bigint, Uint8Array>();
  for (const page of bootPages(files, unpack)) {
    const print = printOf(page);
    if (!pages.has(print)) pages.set(print, page);
    if (pages.size >= slots * SHARE_MAX) break;
  }
  const used = pages.size;
  if (used === 0) return 0;
  const prints = new Uint8Array(used * PRINT_BYTES);
  const view = new DataView(prints.buffer);
  for (const [slot, print] of [...pages.keys()].entries()) view.setBigUint64(slot * PRINT_BYTES, print);
  const contents = Buffer.concat([...pages.values()], used * PAGE_BYTES);
  // Seen, not touched: guarded from what is new until it is asked for (wire/slot-clock.ts).
  const flags = new Uint8Array(used).fill(SlotFlag.seen);
  writeKeptFile(
    file,
    { slots, used, hand: 0, id: idOf(contents), operations: 0n, flags },
    { prints, contents },
  );
  return used;
}

function bytesOf(file: string | undefined): Uint8Array {
  const isOfUse = file !== undefined && statSync(file).size <= FILE_BYTES_MAX;
  return isOfUse ? readFileSync(file) : new Uint8Array();
}

/** The first quarter of a SHA-256; 0 would mean that there is none. */
function idOf(contents: Uint8Array): bigint {
  return createHash("sha256").update(contents).digest().readBigUInt64BE(0) || 1n;
}
