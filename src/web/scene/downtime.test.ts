import * as fc from "fast-check";
import { expect, test } from "vitest";

import { reportOf } from "../../../test/fakes/fixtures.ts";
import { pauseParts } from "./downtime.ts";

const WHATS = [
  "guest paused",
  "QEMU device",
  "QEMU completed",
  "target loaded",
  "source handing-over",
  "target accepted",
  "guest running",
  "cancel asked",
];

test("the parts follow each other without a gap and add up to the pause, whatever was noted", () => {
  const entry = fc.record({
    atMs: fc.nat(1000),
    host: fc.constantFrom("a", "b"),
    what: fc.constantFrom(...WHATS),
  });
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 30 }), (timeline) => {
      const parts = pauseParts(reportOf({ timeline }));
      for (const [index, part] of parts.entries()) {
        expect(part.endMs).toBeGreaterThan(part.startMs);
        expect(part.startMs).toBe(parts[index - 1]?.endMs ?? part.startMs);
      }
    }),
  );
});

test("the pause of a pre-copy is five parts, named by what happened in them", () => {
  const timeline = [
    { atMs: 0, host: "a", what: "accepted" },
    { atMs: 10, host: "a", what: "guest paused" },
    { atMs: 30, host: "b", what: "QEMU completed" },
    { atMs: 36, host: "b", what: "target loaded" },
    { atMs: 38, host: "a", what: "source handing-over" },
    { atMs: 41, host: "b", what: "target accepted" },
    { atMs: 42, host: "b", what: "guest running" },
    { atMs: 50, host: "a", what: "source released" },
  ];
  const parts = pauseParts(reportOf({ timeline }));
  expect(parts.map((part) => part.endMs - part.startMs)).toEqual([20, 6, 2, 3, 1]);
});

test("a migration that was cancelled, or whose hosts share no clock, has no pause to break up", () => {
  const { metrics } = reportOf();
  expect(pauseParts(reportOf({ outcome: "cancelled" }))).toEqual([]);
  const downtime_ms = { ...metrics.downtime_ms, vm: null };
  expect(pauseParts(reportOf({ metrics: { ...metrics, downtime_ms } }))).toEqual([]);
});
