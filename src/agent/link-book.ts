/**
 * What this agent knows of the links to its peers. A migration that has to choose its way waits for the answer, so links are
 * measured before anybody asks: one peer at a time, only while both hosts have processors left and nothing migrates.
 */
import type { Cpus, LinkBurst } from "../migration/wire-choice.ts";
import { nowMs } from "./clock.ts";
import { askState, measureLink } from "./link-measure.ts";
import type { Peer } from "./peers.ts";

/** What was measured is believed for so long: who else uses a link changes, but seldom what it is. */
const KNOWN_MS = 600_000;
/** And measured again before that, where there is time for it. */
const DUE_MS = 300_000;
/** One peer each time: at most 10 MiB in so many ms, and of each peer in DUE_MS. */
const ROUND_MS = 5_000;
/** A host that is busy now may soon not be. */
const PUT_OFF_MS = 1_000;
/** With less than this left on one host any link looks slow, because its agent waits for a processor. */
const CALM_CPUS = 0.5;
/** How often the decisive burst is repeated while somebody waits, and while nobody does. */
const AGAIN = { waited: 1, quiet: 3 } as const;

interface Entry {
  readonly atMs: number;
  readonly link: LinkBurst;
}

export interface LinkBookParts {
  readonly peers: ReadonlyMap<string, Peer>;
  /** How busy this host is. */
  readonly idle: () => Cpus;
  /** Something migrates: it is not disturbed, and what it sends would be in the measurement. */
  readonly migrates: () => boolean;
}

export class LinkBook {
  readonly #parts: LinkBookParts;
  readonly #entries = new Map<string, Entry>();
  /** By peer: when it was last tried, successful or not. */
  readonly #triedMs = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(parts: LinkBookParts) {
    this.#parts = parts;
  }

  /** From now on links are measured when there is time. */
  open(): void {
    const later = (ms: number): void => {
      if (this.#closed) return;
      this.#timer = setTimeout(() => {
        void this.round().then((isOver) => later(isOver ? ROUND_MS : PUT_OFF_MS));
      }, ms);
      this.#timer.unref();
    };
    later(PUT_OFF_MS);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  /** What is known of it without a question: may be old, or nothing. */
  lastOf({ name }: Peer): LinkBurst | undefined {
    return this.#entries.get(name)?.link;
  }

  /** The link, measured now if it is not known well enough. Undefined: the peer, as busy as `there`, did not answer in time. */
  async linkTo(peer: Peer, there: Cpus): Promise<LinkBurst | undefined> {
    const known = this.#entries.get(peer.name);
    const ageMs = known === undefined ? Number.POSITIVE_INFINITY : nowMs() - known.atMs;
    if (known !== undefined && ageMs < KNOWN_MS) return { ...known.link, ageMs };
    const mayKeep = isCalm(this.#parts.idle(), there);
    return this.#measure(peer, AGAIN.waited, mayKeep).catch(() => undefined);
  }

  /** Measures the link that was not measured for longest, if one is due. @returns false when it was put off. Never rejects. */
  async round(): Promise<boolean> {
    const { idle, migrates } = this.#parts;
    const peer = this.#due();
    if (peer === undefined) return true;
    if (migrates() || !isCalm(idle())) return false;
    this.#triedMs.set(peer.name, nowMs());
    try {
      if (isCalm(idle(), await askState(peer)) && !migrates()) await this.#measure(peer, AGAIN.quiet, true);
    } catch {
      // It is down or slow; its turn comes again.
    }
    return true;
  }

  #due(): Peer | undefined {
    const now = nowMs();
    const sinceMs = (of: ReadonlyMap<string, number>, name: string): number =>
      now - (of.get(name) ?? -Infinity);
    const measuredMs = new Map([...this.#entries].map(([name, { atMs }]) => [name, atMs]));
    return [...this.#parts.peers.values()]
      .filter(({ name }) => sinceMs(measuredMs, name) >= DUE_MS)
      .toSorted((one, other) => sinceMs(this.#triedMs, other.name) - sinceMs(this.#triedMs, one.name))[0];
  }

  async #measure(peer: Peer, again: number, mayKeep: boolean): Promise<LinkBurst> {
    const link = await measureLink(peer, again);
    if (mayKeep) this.#entries.set(peer.name, { atMs: nowMs(), link });
    return link;
  }
}

const isCalm = (...hosts: readonly Cpus[]): boolean => hosts.every(({ idleCpus }) => idleCpus >= CALM_CPUS);
