import * as fc from "fast-check";
import { expect, test } from "vitest";

import { reportOf } from "../../../test/fakes/fixtures.ts";
import { compareRows, MISSING } from "./rows.ts";

const { metrics } = reportOf();
const took = (total_time_ms: number | null) => reportOf({ metrics: { ...metrics, total_time_ms } });
const total = (...times: readonly (number | null)[]) =>
  compareRows(times.map(took)).find((row) => row.label === "total")?.cells ?? [];

test("each is compared with the first, in its unit and as a share", () => {
  expect(total(4000, 3000, 6000)).toEqual([
    { text: "4 s", difference: "", is: "unknown" },
    { text: "3 s", difference: "−1 s, −25 %", is: "better" },
    { text: "6 s", difference: "+2 s, +50 %", is: "worse" },
  ]);
});

test("what nobody observed is a dash, and nothing is compared with it", () => {
  expect(total(null, 3000)[1]).toMatchObject({ difference: "", is: "unknown" });
  expect(total(3000, null)[1]).toEqual({ text: MISSING, difference: "", is: "unknown" });
});

test("a difference within the scatter of single runs is called the same", () => {
  expect(total(10_000, 10_100)[1]?.is).toBe("same");
});

test("less is better, whatever the figures", () => {
  const time = fc.integer({ min: 1, max: 1e9 });
  fc.assert(
    fc.property(time, time, (first, second) => {
      const is = total(first, second)[1]?.is;
      if (is === "better") expect(second).toBeLessThan(first);
      if (is === "worse") expect(second).toBeGreaterThan(first);
    }),
  );
});
