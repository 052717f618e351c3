import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { clientLatency, LATENCY_SLICES_MAX } from "../../api/latency.ts";
import type { Answer } from "./figures.ts";
import { latencyStrip, sliceMsOf } from "./latency.ts";

const PERIOD_MS = 1;

/** One probe a millisecond, answered after 0.2 ms, but for those of a pause: nobody answers them. */
const answers = (untilMs: number, pause: readonly [fromMs: number, toMs: number] = [0, 0]): Answer[] =>
  Array.from({ length: untilMs }, (_, seq) => ({ seq, sentMs: seq, receivedMs: seq + 0.2 })).filter(
    ({ sentMs }) => sentMs < pause[0] || sentMs >= pause[1],
  );

describe("the strip of what a client waited", () => {
  test("is flat where nothing happens", () => {
    const { slice_ms, longest_ms } = latencyStrip(answers(2000), { fromMs: 0, toMs: 2000 }, PERIOD_MS);
    expect(slice_ms).toBe(10);
    expect(longest_ms).toEqual(Array.from({ length: 200 }, () => 0.2));
  });

  test("falls through a pause: who asked at its begin waited longest", () => {
    const strip = latencyStrip(answers(2000, [1000, 1100]), { fromMs: 0, toMs: 2000 }, PERIOD_MS);
    const inside = strip.longest_ms.slice(100, 110);
    expect(inside[0]).toBeCloseTo(100.2, 3);
    expect(inside[9]).toBeCloseTo(10.2, 3);
    expect(strip.longest_ms[99]).toBe(0.2);
    expect(strip.longest_ms[110]).toBe(0.2);
  });

  test("grows while nobody answers yet", () => {
    const waiting = (nowMs: number): number | null | undefined =>
      latencyStrip(answers(500), { fromMs: 0, toMs: nowMs }, PERIOD_MS).longest_ms[50];
    expect(waiting(600)).toBe(100);
    expect(waiting(900)).toBe(400);
  });

  test("knows nothing where nothing was asked, and of nobody's answers", () => {
    const late = answers(1000).filter(({ seq }) => seq >= 500);
    expect(latencyStrip(late, { fromMs: 0, toMs: 1000 }, PERIOD_MS).longest_ms[10]).toBeNull();
    expect(latencyStrip([], { fromMs: 0, toMs: 100 }, PERIOD_MS).longest_ms).toEqual(
      Array.from({ length: 10 }, () => null),
    );
  });

  test("has a bounded number of slices, and never loses the longest wait", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20_000 }), fc.nat(15_000), fc.nat(3000), (toMs, at, ms) => {
        const strip = latencyStrip(answers(toMs, [at, at + ms]), { fromMs: 0, toMs }, PERIOD_MS);
        expect(clientLatency.safeParse(strip).success).toBe(true);
        const waited = Math.max(...strip.longest_ms.map((one) => one ?? 0));
        const whole = at >= 1 && at + ms < toMs && ms > 0;
        if (whole) expect(waited).toBeCloseTo(ms + 0.2, 2);
      }),
    );
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1e8, noNaN: true }), (lengthMs) => {
        expect(Math.ceil(lengthMs / sliceMsOf(lengthMs))).toBeLessThanOrEqual(LATENCY_SLICES_MAX);
      }),
    );
  });
});
