import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { MiB, viewOf } from "../../test/deciding/arbitrary.ts";
import { migrateSettings } from "../api/migration.ts";
import { HAND_OVER_MS } from "./pause.ts";
import { adaptDowntime, predictedDirtyBytes, trend } from "./working-set.ts";

const upTo = (adaptiveDowntimeCeilingMs?: number) =>
  migrateSettings.parse(adaptiveDowntimeCeilingMs === undefined ? {} : { adaptiveDowntimeCeilingMs });

describe("the trend of the working set", () => {
  test("two rounds say nothing", () => {
    expect(trend(viewOf([200, 100]).rounds)).toBeNull();
  });

  test("a straight line is found exactly, over the last five rounds only", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 50 }), fc.integer({ min: 1, max: 20 }), (end, step) => {
        const line = Array.from({ length: 5 }, (_, index) => end + (4 - index) * step);
        const seen = trend(viewOf([999, 3, ...line]).rounds);
        expect(seen?.slopeBytes).toBeCloseTo(-step * MiB, 0);
        expect(seen === null ? -1 : predictedDirtyBytes(seen)).toBeCloseTo(Math.max(0, end - step) * MiB, 0);
      }),
    );
  });
});

describe("adaptive downtime", () => {
  test("is silent without a ceiling", () => {
    expect(adaptDowntime(viewOf([90, 90, 90]), upTo())).toBeNull();
  });

  test("allows what a steady set needs, and the hand-over is not counted twice", () => {
    const decision = adaptDowntime(viewOf([90, 90, 90]), upTo(5000));
    expect(decision).toMatchObject({ do: "set-downtime" });
    // 90 MiB at 100 MiB/s, and a tenth for a bandwidth that swings.
    expect(decision).toHaveProperty("downtimeMs", expect.closeTo(990, 0));
  });

  test("stops exactly at the ceiling", () => {
    const needed = 900 + HAND_OVER_MS;
    expect(adaptDowntime(viewOf([90, 90, 90]), upTo(needed))).toHaveProperty("downtimeMs", 900);
    expect(adaptDowntime(viewOf([90, 90, 90]), upTo(needed - 1))).toBeNull();
  });

  test("grants another round while it saves more than a fifth", () => {
    expect(adaptDowntime(viewOf([200, 150, 100]), upTo(5000))).toBeNull();
    expect(adaptDowntime(viewOf([120, 110, 100]), upTo(5000))).not.toBeNull();
  });

  test("never lowers a pause that is allowed already", () => {
    expect(adaptDowntime(viewOf([90, 90, 90], { downtimeLimitMs: 3000 }), upTo(5000))).toBeNull();
  });

  test("allows nothing over a link that moves nothing", () => {
    const dead = viewOf([90, 90, 90], { sendBytesPerSecond: 0 });
    const rounds = dead.rounds.map((round) => ({ ...round, sendBytesPerSecond: 0 }));
    expect(adaptDowntime({ ...dead, rounds }, upTo(2_000_000))).toBeNull();
  });
});
