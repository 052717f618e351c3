import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import {
  type Answer,
  type Beacon,
  type Operation,
  WINDOW_MS,
  clientDowntime,
  degradation,
  disruption,
  guestDowntime,
  lostProbes,
  percentile,
  proberStallMs,
  ticksGoneBack,
  without,
} from "./figures.ts";

/** Answers of a prober with 1 ms period whose guest answers nothing between two times. */
function answers(fromMs: number, toMs: number, pauses: readonly (readonly [number, number])[]): Answer[] {
  const out: Answer[] = [];
  for (let seq = 0; fromMs + seq < toMs; seq += 1) {
    const sentMs = fromMs + seq;
    if (!pauses.some(([from, to]) => sentMs >= from && sentMs < to)) {
      out.push({ seq, sentMs, receivedMs: sentMs + 0.2 });
    }
  }
  return out;
}

/** One operation every 5 ms; during a pause those due wait for its end. */
function operations(
  fromMs: number,
  toMs: number,
  pauses: readonly (readonly [number, number])[],
): Operation[] {
  const out: Operation[] = [];
  for (let dueMs = fromMs; dueMs < toMs; dueMs += 5) {
    const pause = pauses.find(([from, to]) => dueMs >= from && dueMs < to);
    out.push({ dueMs, doneMs: (pause === undefined ? dueMs : pause[1]) + 0.3 });
  }
  return out;
}

const window = { fromMs: 0, toMs: 5000 };

describe("client downtime", () => {
  it("reads any pause back within one period, and counts its probes", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 4000 }), fc.integer({ min: 1, max: 800 }), (at, ms) => {
        const log = answers(-500, 6000, [[at, at + ms]]);
        const found = clientDowntime(log, window, 1);
        expect(found?.ms).toBeCloseTo(ms, 6);
        expect(found?.openEnded).toBe(false);
        expect(lostProbes(log, window)).toBe(ms);
      }),
    );
  });

  it("is the longest of several pauses, not their sum", () => {
    const log = answers(-500, 6000, [
      [100, 120],
      [1000, 1090],
      [2000, 2050],
    ]);
    expect(clientDowntime(log, window, 1)).toMatchObject({
      ms: expect.closeTo(90, 6),
      atMs: expect.closeTo(999.2),
    });
  });

  it("leaves out a pause that ended before the window and counts one that reaches into it whole", () => {
    expect(clientDowntime(answers(-500, 6000, [[-400, -300]]), window, 1)?.ms).toBeCloseTo(0, 6);
    expect(clientDowntime(answers(-500, 6000, [[-100, 50]]), window, 1)?.ms).toBeCloseTo(150, 6);
  });

  it("is a lower bound when the guest never answers again, and unknown when it never did", () => {
    const found = clientDowntime(answers(-500, 1000, []), window, 1);
    expect(found?.openEnded).toBe(true);
    expect(found?.ms).toBeGreaterThan(3990);
    expect(clientDowntime([], window, 1)).toBeNull();
  });

  it("does not care in which order the log holds its answers", () => {
    const log = answers(-100, 6000, [[700, 777]]);
    fc.assert(
      fc.property(fc.shuffledSubarray(log, { minLength: log.length }), (shuffled) => {
        expect(clientDowntime(shuffled, window, 1)).toEqual(clientDowntime(log, window, 1));
        expect(lostProbes(shuffled, window)).toBe(77);
      }),
      { numRuns: 5 },
    );
  });

  it("tells the prober's own lateness from the guest's", () => {
    const log = answers(-100, 6000, []).map((a) =>
      a.seq < 1000 ? a : { seq: a.seq, sentMs: a.sentMs + 40, receivedMs: a.receivedMs + 40 },
    );
    expect(proberStallMs(log, window, 1)).toBeCloseTo(40, 6);
    expect(lostProbes(log, window)).toBe(0);
    expect(proberStallMs(answers(-100, 6000, [[500, 540]]), window, 1)).toBeCloseTo(0, 6);
  });
});

describe("guest downtime", () => {
  /** Ticks stop in a pause of the guest; in an outage of the network they go on unheard. */
  function beacons(stopped: readonly [number, number], unheard: readonly [number, number]): Beacon[] {
    const out: Beacon[] = [];
    let tick = 0;
    for (let ms = -500; ms < 6000; ms += 1) {
      if (ms >= stopped[0] && ms < stopped[1]) continue;
      tick += 1;
      if (ms < unheard[0] || ms >= unheard[1]) out.push({ tick, receivedMs: ms });
    }
    return out;
  }

  it("is the time missing from the guest's ticks, whatever the network lost", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 900 }), fc.integer({ min: 0, max: 700 }), (pauseMs, outageMs) => {
        const log = beacons([1000, 1000 + pauseMs], [3000, 3000 + outageMs]);
        expect(guestDowntime(log, window, 1)?.ms).toBeCloseTo(pauseMs, 6);
      }),
    );
  });

  it("separates a pause from the outage around it", () => {
    expect(guestDowntime(beacons([1000, 1100], [900, 1500]), window, 1)?.ms).toBeCloseTo(100, 6);
  });

  it("sees a guest that goes back, or runs twice", () => {
    const log = beacons([0, 0], [0, 0]);
    expect(ticksGoneBack(log)).toBe(0);
    const again = log.slice(3000, 3010).map((b) => ({ ...b, receivedMs: b.receivedMs + 0.5 }));
    expect(ticksGoneBack([...log, ...again])).toBe(10);
  });
});

describe("disruption", () => {
  const baseline = [{ fromMs: -10_000, toMs: 0 }];
  const observed = { fromMs: 0, toMs: 20_000 };

  it("is nothing when nothing happened", () => {
    const found = disruption(operations(-10_000, 20_500, []), baseline, observed, 3000);
    expect(found).toEqual({
      spanMs: 0,
      sumMs: 0,
      lostServiceSeconds: 0,
      baselineFalsePositive: 0,
      baselineWindows: 100,
      stillDisrupted: false,
    });
  });

  it("spans from the first to the last degraded window and sums those between", () => {
    const log = operations(-10_000, 20_500, [
      [1000, 1300],
      [2500, 2600],
    ]);
    const found = disruption(log, baseline, observed, 3000);
    // Those held back come all at once in the window of the pause's end, which is degraded by their latency.
    expect(found).toMatchObject({ spanMs: 1700, sumMs: 600, stillDisrupted: false });
    expect(found?.lostServiceSeconds).toBeCloseTo(0.4, 6);
  });

  it("goes on over a rest in the middle of a migration, and ends with two clean seconds after it", () => {
    const pauses = [
      [500, 600],
      [8000, 8100],
      [15_000, 15_100],
    ] as const;
    const log = operations(-10_000, 20_500, pauses);
    expect(disruption(log, baseline, observed, 9000)?.spanMs).toBe(7700);
    expect(disruption(log, baseline, observed, 100)?.spanMs).toBe(200);
  });

  it("never sums more than it spans, and says when the log ends too early", () => {
    const pause = fc.tuple(fc.integer({ min: 0, max: 19_000 }), fc.integer({ min: 0, max: 900 }));
    fc.assert(
      fc.property(fc.array(pause, { maxLength: 5 }), (pauses) => {
        const log = operations(
          -10_000,
          20_500,
          pauses.map(([at, ms]) => [at, at + ms] as const),
        );
        const found = disruption(log, baseline, observed, 1000);
        if (found === null) throw new Error("the baseline is long enough");
        expect(found.sumMs).toBeLessThanOrEqual(found.spanMs);
        expect(found.lostServiceSeconds * 1000).toBeLessThanOrEqual(found.spanMs + 1e-6);
      }),
    );
    const cut = disruption(operations(-10_000, 20_500, [[19_500, 19_700]]), baseline, observed, 19_600);
    expect(cut?.stillDisrupted).toBe(true);
  });

  it("does not judge by a baseline of less than a second, nor by a silent one", () => {
    expect(disruption(operations(-900, 5000, []), [{ fromMs: -900, toMs: 0 }], window, 0)).toBeNull();
    expect(disruption(operations(0, 5000, []), baseline, window, 0)).toBeNull();
  });

  it("counts degraded windows of the baseline as false positives", () => {
    const log = operations(-10_000, 20_500, [[-5000, -4900]]);
    const found = disruption(log, baseline, observed, 0);
    expect(found?.baselineFalsePositive).toBe((2 * WINDOW_MS) / 10_000);
  });
});

describe("a baseline with an earlier migration in it", () => {
  const span = { fromMs: -10_000, toMs: 0 };
  const edge = fc.integer({ min: -12_000, max: 2000 });

  it("leaves exactly the time that is in no cut", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(edge, fc.nat(4000))), edge, (cuts, probe) => {
        const spans = cuts.map(([fromMs, ms]) => ({ fromMs, toMs: fromMs + ms }));
        const left = without(span, spans);
        const isIn = (one: { fromMs: number; toMs: number }) => probe >= one.fromMs && probe < one.toMs;
        expect(left.filter(isIn).length).toBe(isIn(span) && !spans.some(isIn) ? 1 : 0);
      }),
    );
  });

  it("does not let that migration's pause hide the next one's", () => {
    const log = operations(-10_000, 6000, [
      [-6000, -5000],
      [1000, 1020],
    ]);
    const clean = without(span, [{ fromMs: -6100, toMs: -4000 }]);
    const observed = { fromMs: 0, toMs: 6000 };
    expect(disruption(log, [span], observed, 2000)?.sumMs).toBe(0);
    expect(disruption(log, clean, observed, 2000)).toMatchObject({
      sumMs: WINDOW_MS,
      baselineFalsePositive: 0,
    });
  });
});

describe("degradation", () => {
  it("is the share of operations that were not done", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 10 }), (kept) => {
        const log = operations(-5000, 5000, []).filter(({ dueMs }) => dueMs < 0 || (dueMs / 5) % 10 < kept);
        expect(degradation(log, { fromMs: 0, toMs: 5000 }, [{ fromMs: -5000, toMs: 0 }])).toBeCloseTo(
          1 - kept / 10,
          6,
        );
      }),
    );
  });

  it("is unknown without a base", () => {
    expect(degradation(operations(0, 5000, []), window, [{ fromMs: -5000, toMs: 0 }])).toBeNull();
    expect(degradation(operations(-5000, 5000, []), window, [{ fromMs: 0, toMs: 0 }])).toBeNull();
  });
});

describe("percentile", () => {
  it("is one of the values, and that share of them is not above it", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer(), { minLength: 1 }),
        fc.double({ min: 0.01, max: 1, noNaN: true }),
        (values, share) => {
          const found = percentile(values, share);
          expect(values).toContain(found);
          expect(values.filter((value) => value <= found).length / values.length).toBeGreaterThanOrEqual(
            share,
          );
        },
      ),
    );
  });
});
