/**
 * What is known of each page of one RAM block: the slot that holds the version sent last, and whether the target's
 * guest still has that version. Whether the slot still means the same is decided by the store.
 *
 * Eight bytes per page, one fifth of a percent of the guest, in pieces that exist once a page in them was sent: a
 * peer that names a huge block makes nobody allocate.
 */
import { BLOCK_PAGES_MAX } from "./limits.ts";
import { refuse } from "./refuse.ts";

/** 32 MiB of guest memory, 64 KiB of table. */
const PIECE_PAGES = 2 ** 13;

const CURRENT = 2 ** 31;
const PROVED = 2 ** 30;
const SLOT = PROVED - 1;
export const PROOF_BYTES = 16;

/** With a hole from the start: V8 throws away what it compiled for an array without when the first piece is not the first. */
const sparse = <T>(): (T | undefined)[] => {
  const pieces: (T | undefined)[] = [];
  pieces[1] = undefined;
  return pieces;
};

const outdate = (piece: Uint32Array, first: number, count: number): void => {
  for (let at = first * 2; at < (first + count) * 2; at += 2) piece[at] = (piece[at] ?? 0) & SLOT;
};

export class GuestBlock {
  readonly pages: number;
  /** Pairs: slot + 1 and two flags, then the slot's generation when it was taken. */
  #pieces = sparse<Uint32Array>();
  #proofs = sparse<Uint8Array>();

  constructor(pages: number) {
    if (!Number.isInteger(pages) || pages < 1 || pages > BLOCK_PAGES_MAX) {
      refuse(`a RAM block of ${pages} pages cannot be`);
    }
    this.pages = pages;
  }

  /** -1: nothing of this page was ever stored. */
  slotAt(page: number): number {
    return this.#entry(page, 0) % PROVED === 0 ? -1 : (this.#entry(page, 0) & SLOT) - 1;
  }

  generationAt(page: number): number {
    return this.#entry(page, 1);
  }

  isCurrent(page: number): boolean {
    return this.#entry(page, 0) >= CURRENT;
  }

  setStored(page: number, slot: number, generation: number): void {
    const at = (page % PIECE_PAGES) * 2;
    const piece = (this.#pieces[Math.floor(page / PIECE_PAGES)] ??= new Uint32Array(
      2 * Math.min(PIECE_PAGES, this.pages - Math.floor(page / PIECE_PAGES) * PIECE_PAGES),
    ));
    piece[at] = CURRENT + slot + 1;
    piece[at + 1] = generation;
  }

  /** The guest no longer has the stored version; the version itself stays a base for deltas. */
  setOutdated(first: number, count = 1): void {
    const end = Math.min(first + count, this.pages);
    let page = first;
    while (page < end) {
      const pieceEnd = Math.min(end, (Math.floor(page / PIECE_PAGES) + 1) * PIECE_PAGES);
      const piece = this.#pieces[Math.floor(page / PIECE_PAGES)];
      if (piece !== undefined) outdate(piece, page % PIECE_PAGES, pieceEnd - page);
      page = pieceEnd;
    }
  }

  /** Keeps a strong hash of the version sent last, which outlives its slot. Any later version forgets it. */
  setProof(page: number, hash: Uint8Array): void {
    const piece = this.#pieces[Math.floor(page / PIECE_PAGES)];
    if (piece === undefined) return;
    const proofs = (this.#proofs[Math.floor(page / PIECE_PAGES)] ??= new Uint8Array(
      (piece.length / 2) * PROOF_BYTES,
    ));
    const at = page % PIECE_PAGES;
    for (let byte = 0; byte < PROOF_BYTES; byte += 1) proofs[at * PROOF_BYTES + byte] = hash[byte] ?? 0;
    piece[at * 2] = ((piece[at * 2] ?? 0) | PROVED) >>> 0;
  }

  hasProof(page: number): boolean {
    return (this.#entry(page, 0) & PROVED) !== 0;
  }

  /** Whether `hash` is the one kept for this page, and the guest still has that version. */
  isProved(page: number, hash: Uint8Array): boolean {
    const proofs = this.#proofs[Math.floor(page / PIECE_PAGES)];
    if (proofs === undefined || !this.hasProof(page) || !this.isCurrent(page)) return false;
    const at = (page % PIECE_PAGES) * PROOF_BYTES;
    for (let byte = 0; byte < PROOF_BYTES; byte += 1) if (proofs[at + byte] !== hash[byte]) return false;
    return true;
  }

  forget(): void {
    this.#pieces = sparse();
    this.#proofs = sparse();
  }

  #entry(page: number, half: 0 | 1): number {
    return this.#pieces[Math.floor(page / PIECE_PAGES)]?.[(page % PIECE_PAGES) * 2 + half] ?? 0;
  }
}
