/**
 * Which slot of a page store is given out next, and so which content has to go. Decides by the order of uses alone, the
 * same at both relays: no chance, no time, no hash.
 *
 * Slots are given out by the clock algorithm. A content enters untouched, so that a first pass over a guest, which
 * nobody asks for again, cannot push out what is asked for; any later use touches it.
 *
 * Contents of the migration before are guarded until they are used: a guest that comes back is read from its beginning,
 * and what is new there must not push out what is asked for next, or a guest larger than the store finds nothing of
 * itself. Only every fourth new content takes a guarded slot, so that they give way to a guest that has no use for them.
 * Their first use is to them what entering is to a new content: it leaves them untouched. A kernel's pages that a guest still has
 * are asked for once, and pushed out a third of the pages that its writer wrote again as long as that counted as more.
 */

export const SlotFlag = {
  touched: 1,
  /** Given out or used since the clock began, or went on. */
  seen: 2,
} as const;
export const SLOT_FLAGS_MAX = SlotFlag.touched + SlotFlag.seen;

/** Of so many new contents one may take a guarded slot. */
const NEW_PER_GUARDED = 4;

/** All that decides what is given out next, from one migration to another. */
export interface ClockState {
  readonly slots: number;
  readonly used: number;
  readonly hand: number;
  /** One byte for each used slot: 1 touched, 2 given out or used in the migration that ended. */
  readonly flags: Uint8Array;
}

export class SlotClock {
  readonly #touched: Uint8Array;
  readonly #seen: Uint8Array;
  /** 1: of the migration before, and not used since. */
  readonly #guarded: Uint8Array;
  #slots: number;
  #used = 0;
  #hand = 0;
  /** Guarded slots have a hand of their own: whoever looks for one must not pass over what is next among the others. */
  #guardedHand = 0;
  #guardedCount = 0;
  /** New contents for which another one had to go. */
  #pushing = 0;

  constructor(slots: number) {
    this.#slots = slots;
    this.#touched = new Uint8Array(slots);
    this.#seen = new Uint8Array(slots);
    this.#guarded = new Uint8Array(slots);
  }

  get slots(): number {
    return this.#slots;
  }
  /** Slots that were given out: the first ones. */
  get used(): number {
    return this.#used;
  }

  /** Fewer slots; before any is given out. */
  limit(slots: number): void {
    if (this.#used > 0 || !(slots >= 1 && slots <= this.#slots)) {
      throw new RangeError(`a store of ${this.#slots} slots cannot become one of ${slots}`);
    }
    this.#slots = slots;
  }

  reset(): void {
    this.restore({ used: 0, hand: 0, flags: new Uint8Array() });
  }

  /** Ends what was seen; what was is guarded from here on, as it is where `restore` goes on. */
  keep(): ClockState {
    const flags = new Uint8Array(this.#used);
    for (let slot = 0; slot < this.#used; slot += 1) {
      flags[slot] =
        (this.#touched[slot] === 1 ? SlotFlag.touched : 0) + (this.#seen[slot] === 1 ? SlotFlag.seen : 0);
    }
    const state = { slots: this.#slots, used: this.#used, hand: this.#hand, flags };
    this.restore(state);
    return state;
  }

  restore({ used, hand, flags }: Omit<ClockState, "slots">): void {
    this.#used = used;
    this.#hand = hand;
    this.#guardedHand = hand;
    this.#guardedCount = 0;
    this.#pushing = 0;
    for (const column of [this.#touched, this.#seen, this.#guarded]) column.fill(0);
    for (const [slot, flag] of flags.entries()) {
      this.#touched[slot] = flag & SlotFlag.touched;
      this.#guarded[slot] = flag >= SlotFlag.seen ? 1 : 0;
      this.#guardedCount += this.#guarded[slot] ?? 0;
    }
  }

  /** Its content was used, or is a newer version of what was there. The first use of a guarded one is its entry. */
  touch(slot: number): void {
    this.#touched[slot] = this.#guarded[slot] === 1 ? 0 : 1;
    this.#saw(slot);
  }

  /** A slot for a new content. One that had another content is told to `evict` first. */
  give(evict: (slot: number) => void): number {
    const slot = this.#used < this.#slots ? this.#used : this.#push();
    if (slot < this.#used) evict(slot);
    else this.#used += 1;
    this.#touched[slot] = 0;
    this.#saw(slot);
    return slot;
  }

  #saw(slot: number): void {
    this.#seen[slot] = 1;
    this.#guardedCount -= this.#guarded[slot] ?? 0;
    this.#guarded[slot] = 0;
  }

  #push(): number {
    this.#pushing += 1;
    const count = this.#guardedCount;
    const takesGuarded = count === this.#slots || (count > 0 && this.#pushing % NEW_PER_GUARDED === 0);
    const slot = this.#untouchedFrom(takesGuarded ? this.#guardedHand : this.#hand, takesGuarded ? 1 : 0);
    const next = (slot + 1) % this.#slots;
    if (takesGuarded) this.#guardedHand = next;
    else this.#hand = next;
    return slot;
  }

  /** The next one that was not used since this came by last. There is a slot of this kind. */
  #untouchedFrom(hand: number, guarded: 0 | 1): number {
    for (let slot = hand; ; slot = (slot + 1) % this.#slots) {
      if (this.#guarded[slot] !== guarded) continue;
      if (this.#touched[slot] === 0) return slot;
      this.#touched[slot] = 0;
    }
  }
}
