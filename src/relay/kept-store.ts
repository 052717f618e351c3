/**
 * One side's page store from one migration to the next: read from its file before the hellos, written to it after a
 * migration that went well. Decides when a file is of use and when it has to go; its format is wire/kept.ts, and whether
 * both sides hold the same is what the hellos are for.
 *
 * The file holds guest memory, so only its owner may read it. It is written beside the older one and then renamed: a
 * relay that is killed meanwhile leaves the older one whole, and the other host's newer one then has another id.
 */
import { closeSync, openSync, renameSync, rmSync, statfsSync, writeSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { dirname } from "node:path";

import { type Kernels, PAGE_BYTES } from "../page/types.ts";
import { CodedError } from "../std/errors.ts";
import { type Hello, keepsStore, type StoreState } from "../wire/hello.ts";
import {
  areSlotFlags,
  encodeKeptHeader,
  KEPT_HEADER_BYTES,
  keptCheckBegun,
  keptContentsAt,
  keptFileBytes,
  PRINT_BYTES,
  readKeptHeader,
} from "../wire/kept.ts";
import type { PageStore } from "../wire/store.ts";
import { crc32 } from "./bytes.ts";
import { KEPT_FREE_SHARE_MAX, KEPT_PIECE_PAGES } from "./limits.ts";

/** What a relay without a store says in its hello. */
export const NO_STORE: StoreState = { id: 0n, operations: 0n };

/** The two relays do not hold the same, or one of them is mistaken: what they kept is not to be trusted either. */
const DISTRUST: ReadonlySet<unknown> = new Set(["WIRE_DAMAGED", "WIRE_GARBAGE"]);

export interface KeptStoreParts {
  /** Absent: nothing is kept. */
  readonly file: string | undefined;
  readonly kernels: Kernels;
  /** Empty. */
  readonly store: PageStore;
  /** The contents of these slots are in their places: they are told as they come, so that whoever finds them again can begin. */
  readonly filled?: (first: number, end: number) => void;
  /** Empties the store, and what is known of its contents. */
  readonly reset: () => void;
}

export class KeptStore {
  /** For the hello: settles when the file was read. Never rejects. */
  readonly state: Promise<StoreState>;
  readonly #parts: KeptStoreParts;
  #session: Uint8Array | undefined;
  #pages = 0;
  #note: string | null = null;

  constructor(parts: KeptStoreParts) {
    this.#parts = parts;
    this.state = this.#load().then(() => parts.store.state);
  }

  /** Contents that were known before the first page came. */
  get pages(): number {
    return this.#pages;
  }
  /** Why there were none although a file was named. */
  get note(): string | null {
    return this.#note;
  }
  /** Whether there is something to be written at the end. */
  get isKept(): boolean {
    return this.#parts.file !== undefined && this.#session !== undefined;
  }

  /** Both hellos are here: the store goes on, or begins empty on both sides. */
  agree(ours: Hello, theirs: Hello): void {
    const { store, reset, file } = this.#parts;
    this.#session = ours.session;
    if (keepsStore(ours, theirs)) {
      this.#pages = store.used;
      return;
    }
    if (store.used > 0) this.#note = "the other side kept another one";
    reset();
    store.limit(Math.min(ours.storeSlots, theirs.storeSlots));
    if (file === undefined) this.#note = null;
  }

  /** How the migration ended: after some ends no file may stay. */
  judge(error: CodedError | undefined): void {
    const { file } = this.#parts;
    if (file === undefined || error === undefined) return;
    if (!DISTRUST.has(error.code) && !DISTRUST.has(error.details["peerCode"])) return;
    try {
      rmSync(file, { force: true });
    } catch {
      // The other side's is gone or of another id, or goes at the next attempt.
    }
  }

  /** Ends the store's guests and writes it. @throws when it cannot be written; the older file is as it was. */
  keep(): void {
    const { file, kernels, store } = this.#parts;
    const session = this.#session;
    if (file === undefined || session === undefined) return;
    const id = new DataView(session.buffer, session.byteOffset).getBigUint64(0);
    const kept = store.keep(id);
    const bytes = keptFileBytes(kept.used);
    const { bavail, bsize } = statfsSync(dirname(file));
    if (bytes > bavail * bsize * KEPT_FREE_SHARE_MAX) {
      throw new CodedError("TOOL_FAILED", { command: "keeping the page store", why: `no room for ${file}` });
    }
    const from = store.positionOf(0);
    const contents = kernels.bytes.subarray(from, from + kept.used * PAGE_BYTES);
    const columns = [kept.flags, this.#prints(kept.used), contents];
    const check = columns.reduce((sum, column) => crc32(column, sum), keptCheckBegun(kept, crc32));
    const fresh = `${file}.${process.pid}.new`;
    rmSync(fresh, { force: true });
    const fd = openSync(fresh, "wx", 0o600);
    try {
      for (const part of [encodeKeptHeader({ ...kept, check }), ...columns]) writeWhole(fd, part);
      renameSync(fresh, file);
    } catch (error) {
      rmSync(fresh, { force: true });
      throw error;
    } finally {
      closeSync(fd);
    }
  }

  #prints(used: number): Uint8Array {
    const { kernels, store } = this.#parts;
    const prints = new Uint8Array(used * PRINT_BYTES);
    for (let slot = 0; slot < used; slot += 1) {
      // What the memory begins with was for pages on their way, and there are none any more.
      kernels.sums(store.positionOf(slot), 0);
      prints.set(kernels.bytes.subarray(0, PRINT_BYTES), slot * PRINT_BYTES);
    }
    return prints;
  }

  async #load(): Promise<void> {
    const { file, reset } = this.#parts;
    if (file === undefined) return;
    let handle: FileHandle | undefined;
    try {
      handle = await open(file, "r");
      this.#note = await this.#read(handle);
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      this.#note = code === "ENOENT" ? "nothing was kept" : message;
    }
    if (this.#note !== null) reset();
    await handle?.close().catch(() => {});
  }

  /** Why it is of no use; null when the store is as it was kept. */
  async #read(handle: FileHandle): Promise<string | null> {
    const { kernels, store, filled } = this.#parts;
    const { size } = await handle.stat();
    const head = new Uint8Array(KEPT_HEADER_BYTES);
    const { bytesRead } = await handle.read(head, 0, head.byteLength, 0);
    const header = readKeptHeader(head.subarray(0, bytesRead), size, store.slots);
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
    }
    if (check !== header.check || !areSlotFlags(flags)) return "the file is damaged";
    store.restore({ ...header, flags });
    return null;
  }
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

function writeWhole(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.byteLength;) at += writeSync(fd, bytes, at, bytes.byteLength - at);
}
