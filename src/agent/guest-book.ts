/**
 * What this agent knows of its guests' memory before anybody asks: what it holds, and how much of it changes. A migration
 * that has to choose technique and way would wait for two looks, so guests are looked at while nothing migrates: one at a time,
 * the one not seen for longest. A look reads 1024 pages, some ms of one core.
 */
import type { MemoryChange } from "../migration/technique-choice.ts";
import { ramBytes } from "../qemu/args.ts";
import type { GuestRam } from "../qemu/guest-memory.ts";
import { nowMs } from "./clock.ts";
import { type PageSample, samplePages } from "./content-sample.ts";
import { type Looks, MemoryLooks } from "./memory-change.ts";
import { Rounds } from "./rounds.ts";
import type { VmRecord } from "./store.ts";

/** What was seen is believed for so long: guests change what they do. */
const KNOWN_MS = 60_000;
/** And looked at again before that, where there are few enough of them. */
const DUE_MS = 5_000;
const ROUND_MS = 1_000;
/** Between two looks: long enough for the pages of a slow writer, short enough that few are written twice. */
const GAP_MS = 300;
/** Of its pages an idle guest changes as many in some seconds, and between two looks. */
const FEW_SHARE = 0.03;
const QUIET_SHARE = 0.01;

export interface Guest extends GuestRam {
  readonly name: string;
}

export const guestOf = (
  { name, machine, accelerator }: Pick<VmRecord, "name" | "machine" | "accelerator">,
  pid: number,
): Guest => ({ name, pid, ramBytes: ramBytes(machine, accelerator) });

interface Seen {
  readonly looks: MemoryLooks;
  /** Between them. */
  readonly change: MemoryChange;
  readonly sample: PageSample;
}

interface Entry {
  readonly pid: number;
  readonly atMs: number;
  /** Undefined: this agent may not see it. */
  readonly seen: Seen | undefined;
}

export interface GuestBookParts {
  /** Those that run here. */
  readonly guests: () => readonly Guest[];
  /** Something migrates: it is not disturbed. */
  readonly migrates: () => boolean;
}

export class GuestBook {
  readonly #parts: GuestBookParts;
  readonly #entries = new Map<string, Entry>();
  readonly #rounds = new Rounds(() => this.round().then(() => ROUND_MS));

  constructor(parts: GuestBookParts) {
    this.#parts = parts;
  }

  /** From now on guests are looked at when there is time. */
  open(): void {
    this.#rounds.open(ROUND_MS);
  }

  close(): void {
    this.#rounds.close();
  }

  /** What it holds, if that is known. */
  sampleOf(guest: Guest): PageSample | undefined {
    return this.#seen(guest)?.sample;
  }

  /**
   * How much of it changes: known, unless one more look shows that it has begun to change more; else beginning with a first
   * look now.
   */
  looksAt(guest: Guest): Looks {
    const seen = this.#seen(guest);
    const since = seen?.looks.change();
    if (seen !== undefined && since !== undefined && !isMore(since, seen.change))
      return { ms: Infinity, change: () => seen.change };
    // What it holds may be something else, too.
    this.#entries.delete(guest.name);
    return new MemoryLooks(guest);
  }

  /** Looks at the guest that was not seen for longest, if one is due. Never rejects. */
  async round(): Promise<void> {
    const guests = this.#parts.guests();
    for (const name of this.#entries.keys())
      if (guests.every((each) => each.name !== name)) this.#entries.delete(name);
    const atMs = ({ name, pid }: Guest): number => {
      const entry = this.#entries.get(name);
      return entry?.pid === pid ? entry.atMs : -Infinity;
    };
    const [guest] = guests.toSorted((one, other) => atMs(one) - atMs(other));
    if (guest === undefined || nowMs() - atMs(guest) < DUE_MS || this.#parts.migrates()) return;
    const looks = new MemoryLooks(guest);
    await new Promise((resolve) => setTimeout(resolve, GAP_MS).unref());
    const [change, sample] = [looks.change(), samplePages(guest)];
    const seen = change && sample && { looks, change, sample };
    this.#entries.set(guest.name, { pid: guest.pid, atMs: nowMs(), seen });
  }

  #seen({ name, pid }: Guest): Entry["seen"] {
    const entry = this.#entries.get(name);
    return entry?.pid === pid && nowMs() - entry.atMs < KNOWN_MS ? entry.seen : undefined;
  }
}

/** More than now and then; and of one that wrote already, than twice as much. What a quiet one changes is mostly the same again. */
function isMore(since: MemoryChange, { changedPages, pages, ms }: MemoryChange): boolean {
  const wrote = changedPages > pages * QUIET_SHARE ? (2 * changedPages * since.ms) / Math.max(1, ms) : 0;
  return since.changedPages > since.pages * FEW_SHARE + wrote;
}
