/**
 * How fast the link to another host is: a few bursts to its agent, bounded in bytes and time. When it is measured, and for
 * how long that is believed, is link-book.ts.
 */
import { type HostState, peerRoutes } from "../api/peer-routes.ts";
import type { LinkBurst } from "../migration/wire-choice.ts";
import { nowMs } from "./clock.ts";
import type { Peer } from "./peers.ts";

const KIB = 2 ** 10;
/**
 * Sent one after the other until one takes long enough to tell the link from the agents at its ends, whose TLS and JavaScript
 * carry some 100 MiB/s: 1 MiB in all on 100 Mbit/s, 4 MiB from 1 Gbit/s on. The first wakes the connection up.
 */
const BURSTS_BYTES = [64 * KIB, 192 * KIB, 256 * KIB, 512 * KIB, 1024 * KIB, 2048 * KIB] as const;
const ENOUGH_MS = 30;
/** A shaper lets some tenths of a megabyte through at once: a short burst that took this was slow for another reason. */
const LONG_BYTES = 512 * KIB;
const SHORT_ENOUGH_MS = 150;
/** No burst is waited for longer: a link that carries less than 64 KiB in this time is as good as down. */
const BURST_TIMEOUT_MS = 2_000;

/** Costs a round trip. @throws CodedError when it does not answer in time. */
export async function askState(peer: Peer): Promise<HostState> {
  const { answer } = await send(peer, 1);
  return answer;
}

/** `again`: how often the last burst is repeated. @throws CodedError when it does not answer in time. */
export async function measureLink(peer: Peer, again: number): Promise<LinkBurst> {
  // The shortest of a few tiny ones is the round trip with both agents' own time in it.
  let roundTripMs = Number.POSITIVE_INFINITY;
  for (let times = 0; times < 3; times += 1) roundTripMs = Math.min(roundTripMs, (await send(peer, 1)).ms);
  const bursts: Burst[] = [];
  const measure = async (bytes: number): Promise<number> => {
    const { ms } = await send(peer, bytes);
    bursts.push({ bytes, ms });
    return ms;
  };
  for (const bytes of BURSTS_BYTES)
    if ((await measure(bytes)) >= (bytes < LONG_BYTES ? SHORT_ENOUGH_MS : ENOUGH_MS)) break;
  // Both that rateOf takes the difference of.
  const decisive = bursts.slice(-2).map(({ bytes }) => bytes);
  for (let times = 0; times < again; times += 1) for (const bytes of decisive) await measure(bytes);
  return { bytesPerSecond: rateOf(bursts, roundTripMs), ...sumOf(bursts), roundTripMs };
}

async function send(peer: Peer, bytes: number) {
  const startMs = nowMs();
  const answer = await peer.call(peerRoutes.peerLink, {
    body: Buffer.alloc(bytes),
    timeoutMs: BURST_TIMEOUT_MS,
  });
  return { answer, ms: nowMs() - startMs };
}

interface Burst {
  readonly bytes: number;
  readonly ms: number;
}

const sumOf = (bursts: readonly Burst[]): Burst =>
  bursts.reduce((sum, { bytes, ms }) => ({ bytes: sum.bytes + bytes, ms: sum.ms + ms }), { bytes: 0, ms: 0 });

/**
 * By how much longer the last size took than the one before it: what a shaper lets through at once (1 Gbit/s with a bucket of
 * 500 kB looked like 1.3) and the round trip are in both. Of each size the fastest, because an agent may wait for a
 * processor, and no link is faster than it is. A smaller burst that happened to be slow would make any link look fast, so the
 * larger one alone, less the round trip, is the most it can be; of that one, too, a slow round trip explains at most half.
 */
export function rateOf(bursts: readonly Burst[], roundTripMs: number): number {
  const fastest = new Map<number, number>();
  for (const { bytes, ms } of bursts) fastest.set(bytes, Math.min(ms, fastest.get(bytes) ?? ms));
  const [large, small] = Array.from(fastest, ([bytes, ms]): Burst => ({ bytes, ms })).toReversed();
  if (large === undefined || large.ms <= 0) return 0;
  const rate = (bytes: number, ms: number): number => (bytes / ms) * 1000;
  const most = rate(large.bytes, Math.max(large.ms - roundTripMs, large.ms / 2));
  if (small === undefined || small.bytes >= large.bytes || small.ms >= large.ms) return most;
  const step = rate(large.bytes - small.bytes, large.ms - small.ms);
  return Math.max(rate(large.bytes, large.ms) / 2, Math.min(most, step));
}
