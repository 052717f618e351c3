import { afterEach, beforeEach, expect, test, vi } from "vitest";

import type { Cpus } from "../migration/wire-choice.ts";
import { LinkBook } from "./link-book.ts";
import type { Peer } from "./peers.ts";

const MINUTE_MS = 60_000;
const idle: Cpus = { cpus: 4, idleCpus: 4 };
const busy: Cpus = { cpus: 4, idleCpus: 0.2 };

/** Answers at once; `sent`: what the bursts to it had, in bytes. */
function peerWith(name: string, cpus: Cpus | Error): { readonly peer: Peer; readonly sent: number[] } {
  const sent: number[] = [];
  const call = (_route: unknown, { body }: { readonly body: Buffer }) => {
    sent.push(body.byteLength);
    if (cpus instanceof Error) return Promise.reject(cpus);
    return Promise.resolve({ bytes: body.byteLength, ...cpus, relayWaits: true });
  };
  return { peer: { name, call } as unknown as Peer, sent };
}

function bookOf(peers: readonly Peer[], here: Cpus = idle, migrates = false): LinkBook {
  return new LinkBook({
    peers: new Map(peers.map((peer) => [peer.name, peer])),
    idle: () => here,
    migrates: () => migrates,
  });
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test("a link that was measured is not measured again for ten minutes", async () => {
  const { peer, sent } = peerWith("b", idle);
  const book = bookOf([peer]);
  const first = await book.linkTo(peer, idle);
  expect(first?.ageMs).toBeUndefined();
  const before = sent.length;
  vi.advanceTimersByTime(9 * MINUTE_MS);
  const again = await book.linkTo(peer, idle);
  expect(sent.length).toBe(before);
  expect(again?.bytes).toBe(first?.bytes);
  expect(again?.ageMs).toBeCloseTo(9 * MINUTE_MS, -3);
  vi.advanceTimersByTime(2 * MINUTE_MS);
  expect((await book.linkTo(peer, idle))?.ageMs).toBeUndefined();
});

test.each([
  ["here", busy, idle],
  ["there", idle, busy],
])("what was measured while processors were busy %s is not remembered", async (_where, here, there) => {
  const { peer, sent } = peerWith("b", there);
  const book = bookOf([peer], here);
  await book.linkTo(peer, there);
  expect(book.lastOf(peer)).toBeUndefined();
  const before = sent.length;
  await book.linkTo(peer, there);
  expect(sent.slice(before).length).toBeGreaterThan(1);
});

test("what was measured in haste is measured again when there is time, and the better of both is kept", async () => {
  const { peer, sent } = peerWith("b", idle);
  const book = bookOf([peer]);
  const hasty = await book.linkTo(peer, idle);
  const before = sent.length;
  await book.round();
  expect(sent.length).toBeGreaterThan(before);
  expect(book.lastOf(peer)?.bytesPerSecond).toBeGreaterThanOrEqual(hasty?.bytesPerSecond ?? Infinity);
  const after = sent.length;
  await book.round();
  expect(sent.length).toBe(after);
});

test("a peer that does not answer has no link, and nobody waits for its turn", async () => {
  const dead = peerWith("dead", new Error("no answer"));
  const { peer, sent } = peerWith("b", idle);
  const book = bookOf([dead.peer, peer]);
  expect(await book.linkTo(dead.peer, idle)).toBeUndefined();
  await book.round();
  await book.round();
  expect(dead.sent).toEqual([1, 1]);
  expect(sent.length).toBeGreaterThan(1);
});

test("with time each link is measured, one each round, and again when five minutes are over", async () => {
  const all = ["b", "c", "d"].map((name) => peerWith(name, idle));
  const book = bookOf(all.map(({ peer }) => peer));
  for (let round = 0; round < 5; round += 1) await book.round();
  const once = all.map(({ sent }) => sent.length);
  expect(once.every((questions) => questions > 1)).toBe(true);
  expect(all.every(({ peer }) => book.lastOf(peer) !== undefined)).toBe(true);
  vi.advanceTimersByTime(6 * MINUTE_MS);
  await book.round();
  const measuredAgain = all.filter(({ sent }, index) => sent.length > (once[index] ?? 0));
  expect(measuredAgain).toHaveLength(1);
});

test.each<[string, Cpus, Cpus, boolean]>([
  ["something migrates", idle, idle, true],
  ["this host is busy", busy, idle, false],
  ["the other host is busy", idle, busy, false],
])(
  "nothing is sent that a guest or a migration would feel while %s",
  async (_what, here, there, migrates) => {
    const { peer, sent } = peerWith("b", there);
    await bookOf([peer], here, migrates).round();
    expect(sent.reduce((sum, bytes) => sum + bytes, 0)).toBeLessThanOrEqual(1);
  },
);
