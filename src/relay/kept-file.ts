/** A page store's file on the disk: how it is read into its place, and written. Its format is wire/kept.ts. */
import { closeSync, openSync, renameSync, rmSync, statfsSync, writeSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { dirname } from "node:path";

import { PAGE_BYTES, type Kernels } from "../page/types.ts";
import { CodedError } from "../std/errors.ts";
import {
  areSlotFlags,
  encodeKeptHeader,
  KEPT_HEADER_BYTES,
  type KeptHeader,
  keptCheckBegun,
  keptContentsAt,
  keptFileBytes,
  readKeptHeader,
} from "../wire/kept.ts";
import type { KeptState, PageStore } from "../wire/store.ts";
import { crc32 } from "./bytes.ts";
import { KEPT_FREE_SHARE_MAX, KEPT_PIECE_PAGES } from "./limits.ts";

export interface KeptPlace {
  readonly kernels: Kernels;
  /** Empty. */
  readonly store: PageStore;
  /** The contents of these slots are in their places: they are told as they come, so that whoever finds them again can begin. */
  readonly filled?: (first: number, end: number) => void;
  /** Then it is left where it is. */
  readonly signal?: AbortSignal;
}

/** Brings `place.store` to what was written. Never rejects: else why it could not, in words, and the store has to be reset. */
export async function loadKeptFile(file: string, place: KeptPlace): Promise<KeptHeader | string> {
  return withFile(file, (handle) => load(handle, place));
}

/** What it says it holds, which is not looked at; else why it is of no use for a store of `slots`. Never rejects. */
export async function keptFileHeader(file: string, slots: number): Promise<KeptHeader | string> {
  return withFile(file, (handle) => headerOf(handle, slots));
}

async function withFile<T>(file: string, use: (handle: FileHandle) => Promise<T>): Promise<T | string> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(file, "r");
    return await use(handle);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return code === "ENOENT" ? "nothing was kept" : message;
  } finally {
    await handle?.close().catch(() => {});
  }
}

async function headerOf(handle: FileHandle, slots: number): Promise<KeptHeader | string> {
  const { size } = await handle.stat();
  const head = new Uint8Array(KEPT_HEADER_BYTES);
  const { bytesRead } = await handle.read(head, 0, head.byteLength, 0);
  return readKeptHeader(head.subarray(0, bytesRead), size, slots);
}

async function load(
  handle: FileHandle,
  { kernels, store, filled, signal }: KeptPlace,
): Promise<KeptHeader | string> {
  const header = await headerOf(handle, store.slots);
  if (typeof header === "string") return header;
  const { used } = header;
  const columns = new Uint8Array(keptContentsAt(used) - KEPT_HEADER_BYTES);
  if (!(await readWhole(handle, columns, KEPT_HEADER_BYTES))) return "the file became shorter";
  const flags = columns.subarray(0, used);
  let check = crc32(columns, keptCheckBegun(header, crc32));
  const pieceOf = (first: number): Uint8Array =>
    kernels.bytes.subarray(
      store.positionOf(first),
      store.positionOf(Math.min(used, first + KEPT_PIECE_PAGES)),
    );
  const readPiece = (first: number): Promise<boolean> =>
    readWhole(handle, pieceOf(first), keptContentsAt(used) + first * PAGE_BYTES);
  // The next piece comes while this one is looked at.
  let coming = readPiece(0);
  for (let first = 0; first < used; first += KEPT_PIECE_PAGES) {
    if (!(await coming)) return "the file became shorter";
    const end = Math.min(used, first + KEPT_PIECE_PAGES);
    if (end < used) coming = readPiece(end);
    check = crc32(pieceOf(first), check);
    filled?.(first, end);
    if (signal?.aborted === true) {
      await coming; // it writes into the place
      return "it is no longer wanted";
    }
  }
  if (check !== header.check || !areSlotFlags(flags)) return "the file is damaged";
  store.restore({ ...header, flags });
  return header;
}

/** False: the file ends before. */
async function readWhole(handle: FileHandle, into: Uint8Array, from: number): Promise<boolean> {
  for (let at = 0; at < into.byteLength;) {
    const { bytesRead } = await handle.read(into, at, into.byteLength - at, from + at);
    if (bytesRead === 0) return false;
    at += bytesRead;
  }
  return true;
}

/**
 * Beside the older one and then renamed: whoever is killed meanwhile leaves the older one whole. `prints`: PRINT_BYTES of
 * each content; `contents`: whole pages. @throws when it cannot be written; the older file is as it was.
 */
export function writeKeptFile(
  file: string,
  state: KeptState,
  { prints, contents }: { readonly prints: Uint8Array; readonly contents: Uint8Array },
): void {
  const { bavail, bsize } = statfsSync(dirname(file));
  if (keptFileBytes(state.used) > bavail * bsize * KEPT_FREE_SHARE_MAX) {
    throw new CodedError("TOOL_FAILED", { command: "keeping the page store", why: `no room for ${file}` });
  }
  const columns = [state.flags, prints, contents];
  const check = columns.reduce((sum, column) => crc32(column, sum), keptCheckBegun(state, crc32));
  const fresh = `${file}.${process.pid}.new`;
  rmSync(fresh, { force: true });
  const fd = openSync(fresh, "wx", 0o600);
  try {
    for (const part of [encodeKeptHeader({ ...state, check }), ...columns]) writeWhole(fd, part);
    renameSync(fresh, file);
  } catch (error) {
    rmSync(fresh, { force: true });
    throw error;
  } finally {
    closeSync(fd);
  }
}

function writeWhole(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.byteLength;) at += writeSync(fd, bytes, at, bytes.byteLength - at);
}
