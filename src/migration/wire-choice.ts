/**
 * Which way a migration's bytes go, and with which of QEMU's own settings on the direct way: decided once, from what the
 * agent measured. The answer is a sentence with its numbers. What is not measured is never guessed: then the bytes go
 * directly, as one plain stream, and the sentence says what was missing.
 *
 * Model: each way moves the guest's filled pages at the slower of what its processors can encode and what the link
 * carries of the result. A sample of pages tells how small they get, and how many the relays' page store holds from
 * before; it cannot tell how much is sent again, nor how many pages are alike. Both speak for the relays only, so they
 * are taken when they come near the best direct way.
 */
import { formatBytes, formatDuration, formatRate } from "../std/units.ts";
import { capabilitiesNeeded } from "./techniques/index.ts";
import type { MigrateSettings } from "../api/migration.ts";
import { nativeWire, type NativeWire, type WirePlan } from "../api/wire.ts";

export interface LinkBurst {
  readonly bytesPerSecond: number;
  /** What was sent to measure it, and how long that took. */
  readonly bytes: number;
  readonly ms: number;
  readonly roundTripMs: number;
  /** Since it was measured; absent: just now. */
  readonly ageMs?: number;
}

export interface Cpus {
  readonly cpus: number;
  /** Idle over the last second, 0 to `cpus`. */
  readonly idleCpus: number;
}

/** Pages of the guest, taken evenly over its memory. */
export interface ContentSample {
  readonly pages: number;
  readonly filledPages: number;
  /** Filled pages that the relays' page store holds from before: to them they cost next to nothing. */
  readonly knownPages: number;
  /** Of the filled pages' bytes after zstd level 1; null when none was filled. */
  readonly compressedShare: number | null;
}

export interface WireFacts {
  readonly settings: MigrateSettings;
  readonly ramBytes: number;
  readonly link?: LinkBurst | undefined;
  readonly content?: ContentSample | undefined;
  readonly source: Cpus;
  readonly target?: Cpus | undefined;
  /** On both hosts a relay waits, started and rehearsed. */
  readonly relaysWait: boolean;
  /** Both hosts are one machine, as in a lab: what is idle at one is idle at the other, and is there once. */
  readonly oneMachine: boolean;
  /** Memory available on the host that has less. */
  readonly freeBytes: number;
  /** What both QEMUs can: capabilities, and what multifd compresses with. */
  readonly capabilities: ReadonlySet<string>;
  readonly compressions: ReadonlySet<string>;
}

export interface Chosen {
  readonly plan: WirePlan;
  readonly reason: string;
}

/**
 * Filled guest pages that one processor takes through a relay with zstd level 1, the slower side, beside an emulated guest:
 * 90 MB/s on 0.63 of one with half of them known.
 */
export const RELAY_BYTES_PER_CPU_SECOND = 100e6;
/** The same of pages that the store holds: found and named, not compressed. */
export const KNOWN_BYTES_PER_CPU_SECOND = 250e6;
/** zstd level 1 in QEMU's multifd, with TLS; one thread. */
export const MULTIFD_ZSTD_BYTES_PER_CPU_SECOND = 300e6;
/**
 * One thread of QEMU with TLS and all that its socket costs, for which a busy processor has less time as well. More is not
 * told apart by a burst between the agents either.
 */
export const PLAIN_BYTES_PER_SECOND = 250e6;

/** Less than this says nothing about the rest. */
const FILLED_PAGES_MIN = 8;
/** Above it compressing gains nothing to speak of. */
const SHARE_MAX = 0.9;
/**
 * From the choice to the first byte relays take so much longer than QEMU itself, on two busy cores (docs/benchmarks.md, "The
 * wire"): they have to read what they know, and to be started where none waits.
 */
const RELAY_WAITS_MS = 100;
const RELAY_START_MS = 700;
/** What a way must gain over the plain stream. */
const GAIN_NEEDED = 1.1;
/** The relays also leave out what the sample cannot show. */
const NEAR_ENOUGH = 0.8;
/** A relay's limit (docs/wire.md) with some room beside it. */
const RELAY_BYTES = 384 * 2 ** 20;
const RELAY_RAM_SHARE = 0.01;
/** A busy host still gives a process its share. */
const CPU_SHARE_MIN = 0.25;
const CHANNELS_MAX = 4;
const CONNECTIONS = 1;

const PLAIN: NativeWire = nativeWire.parse({});

const direct = (native: NativeWire, reason: string): Chosen => ({ plan: { path: "direct", native }, reason });
const relay = (link: LinkBurst | undefined, reason: string): Chosen => ({
  plan: {
    path: "relay",
    encode: true,
    connections: CONNECTIONS,
    ...(link === undefined || link.bytesPerSecond <= 0 ? {} : { linkBytesPerSecond: link.bytesPerSecond }),
  },
  reason,
});

/** What was asked for in full needs no measurement. */
export const needsMeasuring = ({ wire, native }: MigrateSettings): boolean =>
  wire !== "relay" && native === undefined;

export function chooseWire(asked: WireFacts): Chosen {
  const { settings } = asked;
  if (settings.wire === "relay") return relay(asked.link, "Through the relays: asked for.");
  if (settings.native !== undefined) {
    return direct(settings.native, `Direct, ${words(settings.native)}: asked for.`);
  }
  const facts = apart(asked);
  const measured = measuredOf(facts);
  if ("missing" in measured) return direct(PLAIN, `Direct, one plain stream: ${measured.missing}.`);
  const native = bestNative(facts, measured);
  if (settings.wire !== "direct") return relayOrDirect(facts, measured, native);
  return direct(native.settings, directWords("asked for", native, measured));
}

/** Guest memory per second on the direct way: copied in rounds, and as the one plain stream that a fetch needs. */
export interface DirectRates {
  readonly filledBytes: number;
  readonly inRoundsPerSecond: number;
  /** Of the pages that are copied again. */
  readonly changedPerSecond: number;
  readonly plainPerSecond: number;
}

/** `changedShare`: what is left of pages that change after zstd level 1, if it is known. Undefined: not measured. */
export function directRates(asked: WireFacts, changedShare?: number | null): DirectRates | undefined {
  const facts = apart(asked);
  const measured = measuredOf(facts);
  if ("missing" in measured) return undefined;
  const { filledBytes, carries } = measured;
  const fetching = apart(withoutGuest(asked));
  const { settings, bytesPerSecond } = bestNative(facts, measured);
  const shrinks = settings.compression !== "none" && typeof changedShare === "number";
  return {
    filledBytes,
    inRoundsPerSecond: bytesPerSecond,
    changedPerSecond: shrinks ? Math.min(bytesPerSecond, carries / changedShare) : bytesPerSecond,
    plainPerSecond: plainRate(fetching, carries, fetching.target ?? measured.target),
  };
}

/** While a guest's pages are fetched it has left the source, and its processor there is free; at the target it mostly waits for them. */
function withoutGuest(facts: WireFacts): WireFacts {
  const { source, target, oneMachine } = facts;
  return { ...facts, source: freed(source), target: oneMachine ? target && freed(target) : target };
}

/** Each host with what is its own. */
function apart(facts: WireFacts): WireFacts {
  const { source, target, oneMachine } = facts;
  return oneMachine ? { ...facts, source: half(source), target: target && half(target) } : facts;
}

interface Measured {
  readonly link: LinkBurst;
  readonly target: Cpus;
  readonly share: number;
  /** Of the filled pages, what the relays need not send. */
  readonly known: number;
  readonly filledBytes: number;
  /** What the link carries, or the cap if that is lower. */
  readonly carries: number;
  readonly carriesWords: string;
  readonly shareWords: string;
}

const half = ({ cpus, idleCpus }: Cpus): Cpus => ({ cpus, idleCpus: idleCpus / 2 });
const freed = ({ cpus, idleCpus }: Cpus): Cpus => ({ cpus, idleCpus: Math.min(cpus, idleCpus + 1) });

function measuredOf({ settings, link, target, content, ramBytes }: WireFacts):
  | Measured
  | {
      readonly missing: string;
    } {
  if (link === undefined || target === undefined) return { missing: "the link could not be measured" };
  if (content === undefined) return { missing: "no page of the guest could be sampled" };
  const { pages, filledPages, knownPages, compressedShare } = content;
  if (compressedShare === null || filledPages < FILLED_PAGES_MIN) {
    return { missing: `only ${filledPages} of ${pages} sampled pages hold anything` };
  }
  const cap = settings.bandwidthBytesPerSecond;
  const capped = cap !== undefined && cap < link.bytesPerSecond;
  const carries = capped ? cap : link.bytesPerSecond;
  const filledBytes = (ramBytes * filledPages) / pages;
  const carriesWords = capped
    ? `the cap allows ${formatRate(cap)}`
    : `the link carries about ${formatRate(carries)} (${formatBytes(link.bytes)} in ${formatDuration(link.ms)}${ago(link)})`;
  const known = knownPages / filledPages;
  const knownWords =
    knownPages === 0 ? "" : `; the target holds ${Math.round(known * 100)} % of them already`;
  const shareWords = `${filledPages} filled pages of ${pages} sampled shrink to ${Math.round(compressedShare * 100)} %${knownWords}`;
  return { link, target, share: compressedShare, known, filledBytes, carries, carriesWords, shareWords };
}

const ago = ({ ageMs }: LinkBurst): string => (ageMs === undefined ? "" : `, ${formatDuration(ageMs)} ago`);

/** A pipeline of one thread on each host. */
const onOneThread = (perCpuSecond: number, { idleCpus }: Cpus, target: Cpus): number =>
  perCpuSecond * Math.max(CPU_SHARE_MIN, Math.min(1, idleCpus, target.idleCpus));

const plainRate = ({ source }: WireFacts, carries: number, target: Cpus): number =>
  Math.min(carries, onOneThread(PLAIN_BYTES_PER_SECOND, source, target));

interface Native {
  readonly settings: NativeWire;
  readonly bytesPerSecond: number;
  readonly because: string;
}

function bestNative(facts: WireFacts, { carries, share, target }: Measured): Native {
  const { settings, source, capabilities, compressions } = facts;
  const bytesPerSecond = plainRate(facts, carries, target);
  const plain = (because: string): Native => ({ settings: PLAIN, bytesPerSecond, because });
  if (capabilitiesNeeded(settings).includes("post-copy")) return plain("post-copy excludes multifd");
  if (!capabilities.has("multifd")) return plain("not both QEMUs have multifd");
  const idle = Math.min(source.idleCpus, target.idleCpus);
  const channels = Math.min(CHANNELS_MAX, source.cpus, target.cpus, Math.max(2, Math.floor(idle)));
  if (channels < 2) return plain("one processor has nothing to share a stream with");
  // QEMU counts pages against its limit before they are compressed.
  if (settings.bandwidthBytesPerSecond !== undefined) {
    return plain("QEMU's bandwidth limit counts bytes before they are compressed, so multifd gains nothing");
  }
  const threads = Math.max(CPU_SHARE_MIN, Math.min(channels, idle));
  const zstd = Math.min(carries / share, MULTIFD_ZSTD_BYTES_PER_CPU_SECOND * threads);
  if (compressions.has("zstd") && share <= SHARE_MAX && zstd >= bytesPerSecond * GAIN_NEEDED) {
    const native: NativeWire = { ...PLAIN, channels, compression: "zstd", level: 1 };
    return { settings: native, bytesPerSecond: zstd, because: "the link is slower than the compression" };
  }
  if (carries >= PLAIN_BYTES_PER_SECOND / 2) {
    const native: NativeWire = { ...PLAIN, channels };
    const rate = Math.min(carries, PLAIN_BYTES_PER_SECOND * threads);
    return { settings: native, bytesPerSecond: rate, because: "the link takes more than one thread feeds" };
  }
  return plain("one thread fills the link, and compressing gains too little");
}

/** All of a direct way in words. */
const directWords = (
  why: string,
  { settings, because }: Native,
  { shareWords, carriesWords }: Measured,
): string =>
  `Direct: ${why}. ${capital(words(settings))}: ${because}. ${capital(shareWords)}; ${carriesWords}.`;

function relayOrDirect(facts: WireFacts, measured: Measured, native: Native): Chosen {
  const { carries, carriesWords, known, shareWords, filledBytes, target } = measured;
  const share = measured.share * (1 - known);
  const directly = (why: string): Chosen => direct(native.settings, directWords(why, native, measured));
  const needed = RELAY_BYTES + RELAY_RAM_SHARE * facts.ramBytes;
  if (facts.freeBytes < needed) {
    return directly(
      `a relay may need ${formatBytes(needed)} of memory and one host has ${formatBytes(facts.freeBytes)} left`,
    );
  }
  if (share > SHARE_MAX) return directly("nothing a relay could leave out");
  const crossMs = (filledBytes / carries) * 1000;
  const startMs = facts.relaysWait ? RELAY_WAITS_MS : RELAY_START_MS;
  if (crossMs < startMs) {
    const what = `about ${formatBytes(filledBytes)} of memory hold anything and cross in ${formatDuration(crossMs)}`;
    return directly(`${what}, sooner than relays start`);
  }
  const perCpuSecond = 1 / ((1 - known) / RELAY_BYTES_PER_CPU_SECOND + known / KNOWN_BYTES_PER_CPU_SECOND);
  const moves = Math.min(
    onOneThread(perCpuSecond, facts.source, target),
    share > 0 ? carries / share : Number.POSITIVE_INFINITY,
  );
  const relayMs = startMs + (filledBytes / moves) * 1000;
  const directMs = (filledBytes / native.bytesPerSecond) * 1000;
  const isNear = relayMs * NEAR_ENOUGH <= directMs;
  const rates = `about ${formatRate(moves)} of guest memory once started (${formatDuration(startMs)}), QEMU itself ${formatRate(native.bytesPerSecond)}`;
  const plainly = plainRate(facts, carries, target);
  if (moves < plainly * GAIN_NEEDED || !isNear) return directly(`a relay would move ${rates}`);
  return relay(
    facts.link,
    `Through the relays: they move ${rates}. ${capital(shareWords)}; ${carriesWords}.`,
  );
}

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

/** QEMU's own settings in words. */
export function words({ channels, compression, level, xbzrleCacheBytes }: NativeWire): string {
  if (channels > 0) {
    const how = compression === "none" ? "uncompressed" : `${compression} level ${level}`;
    return `multifd with ${channels} channels, ${how}`;
  }
  return xbzrleCacheBytes > 0
    ? `one stream with XBZRLE and a cache of ${formatBytes(xbzrleCacheBytes)}`
    : "one plain stream";
}
