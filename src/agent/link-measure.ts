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
  const last = bursts.at(-1)?.bytes ?? 0;
  for (let times = 0; times < again; times += 1) await measure(last);
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
 * The best of those that had the last one's size: an agent may wait for a processor, and no link is faster than it is. A
 * round trip that happened to be slow would make any burst look instant, so it explains at most half of the time.
 */
export function rateOf(bursts: readonly Burst[], roundTripMs: number): number {
  const size = bursts.at(-1)?.bytes;
  const rates = bursts
    .filter(({ bytes }) => bytes === size)
    .map(({ bytes, ms }) => {
      const carriedMs = Math.max(ms - roundTripMs, ms / 2);
      return carriedMs > 0 ? (bytes / carriedMs) * 1000 : 0;
    });
  return Math.max(0, ...rates);
}
