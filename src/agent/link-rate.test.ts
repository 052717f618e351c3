import * as fc from "fast-check";
import { expect, test } from "vitest";

import type { Peer } from "./peers.ts";
import { measureLink, rateOf } from "./wire-measure.ts";

const KIB = 1024;

test("a link's rate is not taken from a burst that a shaper let through at once", () => {
  // 100 Mbit/s: the first burst fits into the shaper's bucket, and a tiny call took as long.
  const bursts = [
    { bytes: 64 * KIB, ms: 1.5 },
    { bytes: 192 * KIB, ms: 15 },
    { bytes: 256 * KIB, ms: 21 },
    { bytes: 512 * KIB, ms: 43 },
  ];
  const mbit = (rateOf(bursts, 1.6) * 8) / 1e6;
  expect(mbit).toBeGreaterThan(80);
  expect(mbit).toBeLessThan(125);
});

test("whatever a round trip is said to take, the rate is at most twice what was seen, and known", () => {
  const burst = fc.record({
    bytes: fc.integer({ min: 1, max: 1e6 }),
    ms: fc.double({ min: 0.01, max: 2000, noNaN: true }),
  });
  fc.assert(
    fc.property(
      fc.array(burst, { minLength: 1, maxLength: 4 }),
      fc.double({ min: 0, max: 2000, noNaN: true }),
      (bursts, trip) => {
        const counted = bursts.length > 1 ? bursts.slice(1) : bursts;
        const seen =
          counted.reduce((s, b) => s + b.bytes, 0) / (counted.reduce((s, b) => s + b.ms, 0) / 1000);
        const rate = rateOf(bursts, trip);
        expect(rate).toBeGreaterThanOrEqual(seen * 0.999);
        expect(rate).toBeLessThanOrEqual(seen * 2.001);
      },
    ),
  );
});

/** A peer that answers at once; `sent`: what the bursts to it had, in bytes. */
function peerWith(idleCpus: number): { readonly peer: Peer; readonly sent: number[] } {
  const sent: number[] = [];
  const call = (_route: unknown, { body }: { readonly body: Buffer }) => {
    sent.push(body.byteLength);
    return Promise.resolve({ bytes: body.byteLength, cpus: 4, idleCpus, relayWaits: true });
  };
  return { peer: { call } as unknown as Peer, sent };
}
const idle = { cpus: 4, idleCpus: 4 };

test("a link that was measured a moment ago is not measured again, only how busy the other host is", async () => {
  const { peer, sent } = peerWith(3);
  const first = await measureLink(peer, idle);
  expect(first?.link.ageMs).toBeUndefined();
  const before = sent.length;
  const again = await measureLink(peer, idle);
  expect(sent.slice(before)).toEqual([1]);
  expect(again).toMatchObject({
    link: { bytes: first?.link.bytes },
    target: { idleCpus: 3 },
    relayWaits: true,
  });
  expect(again?.link.ageMs).toBeGreaterThanOrEqual(0);
});

test.each([
  ["here", { cpus: 4, idleCpus: 0.2 }, 4],
  ["there", idle, 0.2],
])(
  "what was measured while processors were busy %s is not taken for long",
  async (_where, source, target) => {
    const { peer, sent } = peerWith(target);
    await measureLink(peer, source);
    const before = sent.length;
    await measureLink(peer, source);
    expect(sent.slice(before).length).toBeGreaterThan(1);
  },
);
