/**
 * What one side's page store begins with, and what stays of it. Decides which of two files is of use before the hellos: what
 * was kept of earlier migrations, else the contents of the files the guest was started from; and after a migration
 * that went well, keeps it. Whether both sides hold the same is what the hellos are for; how a file is read and written
 * is kept-file.ts.
 *
 * What was kept holds guest memory, so only its owner may read it. A relay that is killed while it writes leaves the older
 * file whole, and the other host's newer one then has another id.
 */
import { rmSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";

import { PAGE_BYTES } from "../page/types.ts";
import { CodedError } from "../std/errors.ts";
import { type Beginning, beginningOf, type Hello, type StoreOffer, type StoreState } from "../wire/hello.ts";
import { PRINT_BYTES } from "../wire/kept.ts";
import { keptFileHeader, type KeptPlace, loadKeptFile, writeKeptFile } from "./kept-file.ts";
import type { Held } from "./opened.ts";

const NO_STORE: StoreState = { id: 0n, operations: 0n };
/** What a relay with nothing to begin with says in its hello. */
export const NO_OFFER: StoreOffer = { store: NO_STORE, boot: 0n };

/** The two relays do not hold the same, or one of them is mistaken: what they kept is not to be trusted either. */
const DISTRUST: ReadonlySet<unknown> = new Set(["WIRE_DAMAGED", "WIRE_GARBAGE"]);

export interface KeptStoreParts extends KeptPlace {
  /** Absent: nothing is kept. */
  readonly file: string | undefined;
  /** Made by boot-store.ts. Absent: nothing is known of the guest's files. */
  readonly bootFile?: string | undefined;
  /** What the store holds already; nothing else is in it. */
  readonly held?: Held | undefined;
  /** Empties the store, and what is known of its contents. */
  readonly reset: () => void;
}

export class KeptStore {
  /** For the hello: settles when a file was read. Never rejects. */
  readonly offer: Promise<StoreOffer>;
  readonly #parts: KeptStoreParts;
  #held: Held | undefined;
  /** What is in the store before the hellos have met. */
  #loaded: Beginning = "empty";
  #session: Uint8Array | undefined;
  #begunWith: Beginning = "empty";
  #pages = 0;
  #note: string | null = null;

  constructor(parts: KeptStoreParts) {
    this.#parts = parts;
    this.#held = parts.held;
    this.offer = this.#load();
  }

  /** Contents of earlier migrations that were known before the first page came. */
  get pages(): number {
    return this.#begunWith === "kept" ? this.#pages : 0;
  }
  /** Contents of the files the guest was started from, in their place. */
  get bootPages(): number {
    return this.#begunWith === "boot" ? this.#pages : 0;
  }
  /** Why nothing of earlier migrations was of use although a file was named. */
  get note(): string | null {
    return this.#note;
  }
  /** Whether there is something to be written at the end. */
  get isKept(): boolean {
    return this.#parts.file !== undefined && this.#session !== undefined;
  }

  /** Both hellos are here: both stores begin with the same. @throws CodedError when what was offered is gone. */
  async agree(ours: Hello, theirs: Hello): Promise<void> {
    const { store, reset } = this.#parts;
    this.#session = ours.session;
    const beginning = beginningOf(ours, theirs);
    if (this.#loaded === "kept" && beginning !== "kept") this.#note = "the other side kept another one";
    if (beginning !== this.#loaded) {
      reset();
      // Offered beside what was kept: only its beginning was looked at.
      const why = beginning === "boot" ? await this.#loadBoot() : undefined;
      if (why !== undefined) throw new CodedError("TOOL_FAILED", { command: "reading the boot store", why });
    }
    if (beginning === "empty") store.limit(Math.min(ours.storeSlots, theirs.storeSlots));
    this.#begunWith = beginning;
    this.#pages = store.used;
  }

  /** How the migration ended: after some ends no file may stay. */
  judge(error: CodedError | undefined): void {
    if (error === undefined) return;
    if (!DISTRUST.has(error.code) && !DISTRUST.has(error.details["peerCode"])) return;
    for (const file of [this.#parts.file, this.#parts.bootFile]) if (file !== undefined) forget(file);
  }

  /** Ends the store's guests and writes it. @throws when it cannot be written; the older file is as it was. */
  keep(): void {
    const { file, kernels, store } = this.#parts;
    const session = this.#session;
    if (file === undefined || session === undefined) return;
    const id = new DataView(session.buffer, session.byteOffset).getBigUint64(0);
    const kept = store.keep(id);
    const from = store.positionOf(0);
    const contents = kernels.bytes.subarray(from, from + kept.used * PAGE_BYTES);
    writeKeptFile(file, kept, { prints: this.#prints(kept.used), contents });
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

  async #load(): Promise<StoreOffer> {
    const { file, bootFile, store } = this.#parts;
    if (file !== undefined) {
      const why = await this.#fill(file);
      this.#note = why ?? null;
      if (why === undefined) {
        this.#loaded = "kept";
        const boot = bootFile === undefined ? "there is none" : await keptFileHeader(bootFile, store.slots);
        return { store: store.state, boot: typeof boot === "string" ? 0n : boot.id };
      }
    }
    if ((await this.#loadBoot()) !== undefined) {
      this.#letGo();
      return NO_OFFER;
    }
    this.#loaded = "boot";
    return { store: NO_STORE, boot: store.state.id };
  }

  /** Why not; one that is there and of no use goes, so that it is made anew. */
  async #loadBoot(): Promise<string | undefined> {
    const { bootFile } = this.#parts;
    if (bootFile === undefined) return "there is none";
    const why = await this.#fill(bootFile);
    if (why !== undefined) forget(bootFile);
    return why;
  }

  /** Why not; what is in the store is then of no file, or what was held. */
  async #fill(file: string): Promise<string | undefined> {
    const header = await keptFileHeader(file, this.#parts.store.slots);
    if (typeof header === "string") return header;
    if (this.#held?.file === file && isDeepStrictEqual(this.#held.header, header)) {
      this.#held = undefined;
      return undefined;
    }
    this.#letGo();
    const loaded = await loadKeptFile(file, this.#parts);
    if (typeof loaded !== "string") return undefined;
    this.#parts.reset();
    return loaded;
  }

  /** The store is empty after it, unless a file was read into it. */
  #letGo(): void {
    if (this.#held !== undefined) this.#parts.reset();
    this.#held = undefined;
  }
}

function forget(file: string): void {
  try {
    rmSync(file, { force: true });
  } catch {
    // The other side's is gone or of another id, or goes at the next attempt.
  }
}
