/**
 * The page store: contents that both relays hold, in the same slots, without ever telling each other which. Decides
 * where a content goes, from the sequence of operations alone; what has to go for it is slot-clock.ts.
 *
 * A page's new version replaces its old one in the same slot, unless another page was sent as a duplicate of that slot:
 * two versions of one page are rarely both worth keeping. Each time a slot gets another owner its generation grows, and
 * a page that remembers an older generation has no base any more.
 */
import { PAGE_BYTES, type Kernels } from "../page/types.ts";
import { GuestBlock } from "./guest-map.ts";
import type { StoreState } from "./hello.ts";
import { BLOCKS_MAX, STORE_SLOTS_MAX, VMS_MAX } from "./limits.ts";
import { refuse } from "./refuse.ts";
import { type ClockState, SlotClock } from "./slot-clock.ts";

export interface StoreRegion {
  /** Byte offset in the kernels' memory, aligned to 16. */
  readonly base: number;
  readonly slots: number;
}

/** A content is about to leave the store, while it is the version that `page` was last sent as. */
export type OnEvict = (block: GuestBlock, page: number, position: number) => void;

/** What of a store outlives its guests, its contents aside. */
export interface KeptState extends StoreState, ClockState {}

export class PageStore {
  readonly #kernels: Kernels;
  readonly #base: number;
  readonly #generation: Uint32Array;
  readonly #clock: SlotClock;
  /** 1: another page than the owner was sent as a duplicate of it. */
  readonly #shared: Uint8Array;
  readonly #ownerBlock: (GuestBlock | undefined)[];
  readonly #ownerPage: Uint32Array;
  readonly #blocks = new Map<number, GuestBlock>();
  #onEvict: OnEvict | undefined;
  #id = 0n;
  #operations = 0;

  constructor(kernels: Kernels, { base, slots }: StoreRegion) {
    if (!Number.isInteger(slots) || slots < 1 || slots > STORE_SLOTS_MAX) {
      throw new RangeError(`a store of ${slots} slots cannot be`);
    }
    if (base % 16 !== 0 || base < 0 || base + slots * PAGE_BYTES > kernels.bytes.byteLength) {
      throw new RangeError("the store's region is not in the kernels' memory");
    }
    this.#clock = new SlotClock(slots);
    this.#kernels = kernels;
    this.#base = base;
    this.#generation = new Uint32Array(slots);
    this.#shared = new Uint8Array(slots);
    this.#ownerBlock = Array.from({ length: slots });
    this.#ownerPage = new Uint32Array(slots);
  }

  get slots(): number {
    return this.#clock.slots;
  }

  /** How many of them hold a content. */
  get used(): number {
    return this.#clock.used;
  }

  /** For the hello: see `beginningOf`. */
  get state(): StoreState {
    return { id: this.#id, operations: BigInt(this.#operations) };
  }

  onEvict(listener: OnEvict): void {
    this.#onEvict = listener;
  }

  /** Empties it under a new id. Blocks stay known, nothing is known of their pages. */
  reset(id: bigint): void {
    for (const block of this.#blocks.values()) block.forget();
    for (let slot = 0; slot < this.used; slot += 1) this.#generation[slot] = this.generationOf(slot) + 1;
    this.#ownerBlock.fill(undefined);
    this.#shared.fill(0);
    this.#clock.reset();
    this.#id = id;
    this.#operations = 0;
  }

  /** Fewer slots, because the other side has no more; before anything is stored. */
  limit(slots: number): void {
    this.#clock.limit(slots);
  }

  /**
   * Ends its guests and names it `id`; what of it outlives them. With no guest left no page remembers a slot, so owners,
   * generations and whether a slot is shared mean nothing any more.
   */
  keep(id: bigint): KeptState {
    const guests = new Set([...this.#blocks.keys()].map((key) => Math.floor(key / BLOCKS_MAX)));
    for (const vm of guests) this.dropVm(vm);
    this.#shared.fill(0);
    this.#id = id;
    return { ...this.state, ...this.#clock.keep() };
  }

  /** Goes on where `keep` left another store; the contents are in their places already. Begins with no guest. */
  restore({ id, operations, ...clock }: Omit<KeptState, "slots">): void {
    this.reset(id);
    this.#blocks.clear();
    this.#operations = Number(operations);
    this.#clock.restore(clock);
  }

  addBlock(vm: number, block: number, pages: number): GuestBlock {
    if (!(vm >= 0 && vm < VMS_MAX)) return refuse(`guest ${vm} is beyond the limit of ${VMS_MAX}`);
    if (!(block >= 0 && block < BLOCKS_MAX)) return refuse(`RAM block ${block} is beyond ${BLOCKS_MAX}`);
    const known = this.block(vm, block);
    if (known !== undefined && known.pages !== pages) {
      return refuse(`RAM block ${block} had ${known.pages} pages and now has ${pages}`);
    }
    if (known !== undefined) return known;
    const added = new GuestBlock(pages);
    this.#blocks.set(vm * BLOCKS_MAX + block, added);
    this.#operations += 1;
    return added;
  }

  block(vm: number, block: number): GuestBlock | undefined {
    return this.#blocks.get(vm * BLOCKS_MAX + block);
  }

  /** The guest is gone, by success or by cancel: its contents stay for others, its pages are unknown. */
  dropVm(vm: number): void {
    const gone = new Set<GuestBlock>();
    for (let id = 0; id < BLOCKS_MAX; id += 1) {
      const block = this.block(vm, id);
      if (block === undefined) continue;
      block.forget();
      gone.add(block);
      this.#blocks.delete(vm * BLOCKS_MAX + id);
    }
    for (let slot = 0; slot < this.used; slot += 1) {
      const owner = this.#ownerBlock[slot];
      if (owner !== undefined && gone.has(owner)) this.#ownerBlock[slot] = undefined;
    }
    this.#operations += 1;
  }

  /** The target's guest lost these pages. */
  discard(block: GuestBlock, first: number, count: number): void {
    if (!(first >= 0 && count >= 0 && first + count <= block.pages)) refuse("a discard leaves its RAM block");
    block.setOutdated(first, count);
    this.#operations += 1;
  }

  positionOf(slot: number): number {
    return this.#base + slot * PAGE_BYTES;
  }

  generationOf(slot: number): number {
    return this.#generation[slot] ?? 0;
  }

  holds(slot: number): boolean {
    return slot >= 0 && slot < this.used;
  }

  /** The slot with the version of this page sent last; -1 when there is none, or it made room for another. */
  slotOf(block: GuestBlock, page: number): number {
    const slot = block.slotAt(page);
    return slot >= 0 && this.holds(slot) && this.generationOf(slot) === block.generationAt(page) ? slot : -1;
  }

  /** A base or an original was used. */
  touch(slot: number): void {
    this.#clock.touch(slot);
    this.#operations += 1;
  }

  zeroed(block: GuestBlock, page: number): void {
    block.setOutdated(page);
    this.#operations += 1;
  }

  unchanged(block: GuestBlock, page: number): void {
    const slot = this.slotOf(block, page);
    if (slot >= 0) this.touch(slot);
    else this.#operations += 1;
  }

  /** The page now equals what `slot` holds. A slot whose owner is gone is its own from here on. */
  refer(block: GuestBlock, page: number, slot: number): void {
    if (this.#ownerBlock[slot] === undefined) {
      this.#ownerBlock[slot] = block;
      this.#ownerPage[slot] = page;
    } else if (this.slotOf(block, page) !== slot) {
      this.#shared[slot] = 1;
    }
    block.setStored(page, slot, this.generationOf(slot));
    this.touch(slot);
  }

  /** Stores the content at `from` as this page's version; the slot it went to. */
  place(block: GuestBlock, page: number, from: number): number {
    const own = this.slotOf(block, page);
    const slot = own >= 0 && this.#shared[own] === 0 ? own : this.#clock.give((old) => this.#evict(old));
    this.#kernels.copy(from, this.positionOf(slot));
    if (slot === own) {
      this.#clock.touch(slot);
    } else {
      this.#shared[slot] = 0;
      this.#ownerBlock[slot] = block;
      this.#ownerPage[slot] = page;
    }
    block.setStored(page, slot, this.generationOf(slot));
    this.#operations += 1;
    return slot;
  }

  #evict(slot: number): void {
    const block = this.#ownerBlock[slot];
    const page = this.#ownerPage[slot] ?? 0;
    if (this.#onEvict !== undefined && block !== undefined && this.slotOf(block, page) === slot) {
      if (block.isCurrent(page)) this.#onEvict(block, page, this.positionOf(slot));
    }
    this.#generation[slot] = this.generationOf(slot) + 1;
  }
}
