/**
 * What this agent knows of the links to its peers. A migration that has to choose its way waits for the answer, so links are
 * measured before anybody asks: one peer at a time, only while both hosts have processors left and nothing migrates.
 */
import type { Cpus, LinkBurst } from "../migration/wire-choice.ts";
import { nowMs } from "./clock.ts";
import { askState, measureLink } from "./link-measure.ts";
import type { Peer } from "./peers.ts";
import { Rounds } from "./rounds.ts";

/** What was measured is believed for so long: who else uses a link changes, but seldom what it is. */
const KNOWN_MS = 600_000;
/** And measured again before that, where there is time for it. */
const DUE_MS = 300_000;
/** One peer each time: at most 13 MiB in so many ms, and of each peer in DUE_MS. */
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
  /** Measured while somebody waited: done better when nobody does. */
  readonly isHasty: boolean;
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
  readonly #rounds = new Rounds(async () => ((await this.round()) ? ROUND_MS : PUT_OFF_MS));

  constructor(parts: LinkBookParts) {
    this.#parts = parts;
  }

  /** From now on links are measured when there is time. */
  open(): void {
    this.#rounds.open(PUT_OFF_MS);
  }

  close(): void {
    this.#rounds.close();
  }

  /** What is known of it without a question: may be old, or nothing. */
  lastOf({ name }: Peer): LinkBurst | undefined {
    return this.#entries.get(name)?.link;
  }

  /** The link, measured now if it is not known well enough. Undefined: the peer, as busy as `there`, did not answer in time. */
  async linkTo(peer: Peer, there: Cpus): Promise<LinkBurst | undefined> {
    const known = this.#fresh(peer);
    if (known !== undefined) return { ...known.link, ageMs: nowMs() - known.atMs };
    const mayKeep = isCalm(this.#parts.idle(), there);
    try {
      const link = await measureLink(peer, AGAIN.waited);
      if (mayKeep) this.#keep(peer, link, true);
      return link;
    } catch {
      return undefined;
    }
  }

  /** Measures the link that was not measured for longest, if one is due. @returns false when it was put off. Never rejects. */
  async round(): Promise<boolean> {
    const { idle, migrates } = this.#parts;
    const peer = this.#due();
    if (peer === undefined) return true;
    if (migrates() || !isCalm(idle())) return false;
    this.#triedMs.set(peer.name, nowMs());
    try {
      if (isCalm(idle(), await askState(peer)) && !migrates())
        this.#keep(peer, await measureLink(peer, AGAIN.quiet), false);
    } catch {
      // It is down or slow; its turn comes again.
    }
    return true;
  }

  #due(): Peer | undefined {
    const isDue = ({ name }: Peer): boolean => {
      const known = this.#entries.get(name);
      return known === undefined || known.isHasty || nowMs() - known.atMs >= DUE_MS;
    };
    const triedMs = ({ name }: Peer): number => this.#triedMs.get(name) ?? -1;
    return [...this.#parts.peers.values()]
      .filter(isDue)
      .toSorted((one, other) => triedMs(one) - triedMs(other))[0];
  }

  #fresh({ name }: Peer): Entry | undefined {
    const known = this.#entries.get(name);
    return known !== undefined && nowMs() - known.atMs < KNOWN_MS ? known : undefined;
  }

  /** No link is faster than it is: where a hasty measurement found more than the one after it, it was right. */
  #keep(peer: Peer, link: LinkBurst, isHasty: boolean): void {
    const before = this.#fresh(peer);
    const isSlower = before?.isHasty === true && before.link.bytesPerSecond > link.bytesPerSecond;
    this.#entries.set(peer.name, { atMs: nowMs(), link: isSlower ? before.link : link, isHasty });
  }
}

const isCalm = (...hosts: readonly Cpus[]): boolean => hosts.every(({ idleCpus }) => idleCpus >= CALM_CPUS);
