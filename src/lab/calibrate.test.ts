import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { evaluate, pauseOrder } from "./calibrate.ts";

describe("calibration", () => {
  it("judges the host by what was asked for, the others by the host's own interval", () => {
    const rows = evaluate([
      { injectedMs: 50, hostMs: 51, clientMs: 53, guestMs: 50 },
      { injectedMs: 50, hostMs: 54, clientMs: 54, guestMs: null },
      { injectedMs: 50, hostMs: 50, clientMs: 55, guestMs: 51 },
    ]);
    expect(rows).toEqual([
      row("host", 3, { medianMs: 51, medianErrorMs: 1, minErrorMs: 0, maxErrorMs: 4 }),
      row("client", 3, { medianMs: 54, medianErrorMs: 2, minErrorMs: 0, maxErrorMs: 5 }),
      row("guest", 2, { medianMs: 50, medianErrorMs: -1, minErrorMs: -1, maxErrorMs: 1 }),
    ]);
  });

  it("says that an observer read nothing, not that it read zero", () => {
    const [, client] = evaluate([{ injectedMs: 1, hostMs: 1, clientMs: null, guestMs: null }]);
    expect(client).toMatchObject({ readings: 0, of: 1, medianMs: null, maxErrorMs: null });
  });

  it("makes every pause as often as asked, spread over the time", () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.nat(), { minLength: 1 }),
        fc.integer({ min: 1, max: 9 }),
        (pauses, repeats) => {
          const order = pauseOrder(pauses, repeats);
          expect(order.length).toBe(pauses.length * repeats);
          expect(order.slice(0, pauses.length)).toEqual(pauses);
          expect(order.slice(-pauses.length)).toEqual(pauses);
        },
      ),
    );
  });
});

const row = (observer: string, readings: number, figures: Record<string, number>) => ({
  injectedMs: 50,
  observer,
  readings,
  of: 3,
  ...figures,
});
