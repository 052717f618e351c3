import { expect, test } from "vitest";

import { Flight } from "./flight.ts";
import { FLIGHT_BYTES_MAX, FLIGHT_BYTES_MIN } from "./limits.ts";

/** A link that carries `bytesPerMs` and answers after `roundTripMs`, after many frames. */
function afterRunning(bytesPerMs: number, roundTripMs: number): Flight {
  const flight = new Flight();
  flight.roundTrip(roundTripMs);
  let now = roundTripMs;
  for (let number = 1; number <= 20_000; number += 1) {
    flight.sent(number, 10_000, 0);
    now += 10_000 / bytesPerMs;
    flight.acknowledged(number, now);
  }
  return flight;
}

test("a slow link gets no more than the least", () => {
  expect(afterRunning(1000, 1).limitBytes).toBe(FLIGHT_BYTES_MIN);
});

test("a long fast link gets what keeps it busy, and never more than the limit", () => {
  const limit = afterRunning(100_000, 20).limitBytes;
  expect(limit).toBeGreaterThan(100_000 * 20);
  expect(limit).toBeLessThanOrEqual(FLIGHT_BYTES_MAX);
  expect(afterRunning(1e6, 100).limitBytes).toBe(FLIGHT_BYTES_MAX);
});

test("in post-copy it is one round trip and little more", () => {
  const flight = afterRunning(25_000, 4);
  const before = flight.limitBytes;
  flight.prompt = true;
  expect(flight.limitBytes).toBeLessThan(before / 2);
  expect(flight.limitBytes).toBeGreaterThan(25_000 * 4);
});

test("a link counts as busy where a ping takes as long as a frame, and not where the target is behind", () => {
  for (const [pingMs, isLinkBusy] of [
    [9, true],
    [1, false],
  ] as const) {
    const flight = new Flight();
    flight.sent(1, FLIGHT_BYTES_MIN, 0);
    expect(flight.hasRoom).toBe(false);
    flight.acknowledged(1, 10);
    flight.roundTrip(pingMs);
    expect(flight.takePace(10)).toEqual({
      bytesPerSecond: FLIGHT_BYTES_MIN * 100,
      isLinkBusy,
      wasFull: true,
    });
    expect(flight.takePace(20)).toEqual({ bytesPerSecond: 0, isLinkBusy: false, wasFull: false });
  }
});

test("room ends with the limit and comes back with acknowledgements", () => {
  const flight = new Flight();
  flight.sent(1, FLIGHT_BYTES_MIN, 0);
  expect(flight.hasRoom).toBe(false);
  flight.acknowledged(1, 1);
  expect([flight.hasRoom, flight.unackedBytes]).toEqual([true, 0]);
});
