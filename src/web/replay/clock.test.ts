import * as fc from "fast-check";
import { expect, test } from "vitest";

import { move, SPEEDS, START, type ReplayMove } from "./clock.ts";

const moves: fc.Arbitrary<ReplayMove> = fc.oneof(
  fc.record({ do: fc.constant("step" as const), wallMs: fc.nat(1000) }),
  fc.record({ do: fc.constantFrom("play" as const, "pause" as const) }),
  fc.record({ do: fc.constant("seek" as const), atMs: fc.integer({ min: -1000, max: 20_000 }) }),
  fc.record({ do: fc.constant("speed" as const), speed: fc.constantFrom(...SPEEDS) }),
);

test("it never leaves the recording, and stands still unless it plays", () => {
  const begin = move(START, { do: "length", endMs: 10_000 });
  fc.assert(
    fc.property(fc.array(moves), (all) => {
      all.reduce((clock, one) => {
        const next = move(clock, one);
        expect(next.atMs).toBeGreaterThanOrEqual(0);
        expect(next.atMs).toBeLessThanOrEqual(10_000);
        if (one.do === "step" && !clock.playing) expect(next.atMs).toBe(clock.atMs);
        return next;
      }, begin);
    }),
  );
});

test("at its end it stops, and play begins anew", () => {
  let clock = move(move(START, { do: "length", endMs: 1000 }), { do: "play" });
  clock = move(clock, { do: "step", wallMs: 5000 });
  expect(clock).toMatchObject({ atMs: 1000, playing: false });
  expect(move(clock, { do: "play" })).toMatchObject({ atMs: 0, playing: true });
});

test("a long migration begins faster, a short one as it was", () => {
  expect(move(START, { do: "length", endMs: 20_000 }).speed).toBe(1);
  expect(move(START, { do: "length", endMs: 200_000 }).speed).toBe(8);
  expect(move(START, { do: "length", endMs: 3600e3 }).speed).toBe(16);
});
