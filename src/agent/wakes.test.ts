import { expect, test, vi } from "vitest";
import { Wakes } from "./wakes.ts";

test("waits until what it waits for is so, however often it is woken before", async () => {
  const wakes = new Wakes();
  let count = 0;
  let settled = false;
  const waiting = wakes.until(() => count === 2, 60_000).then(() => (settled = true));
  count = 1;
  wakes.wake();
  await Promise.resolve();
  expect(settled).toBe(false);
  count = 2;
  wakes.wake();
  await waiting;
});

test("gives up without an error, and does not look again", async () => {
  vi.useFakeTimers();
  const wakes = new Wakes();
  const look = vi.fn(() => false);
  const waiting = wakes.until(look, 100);
  await vi.advanceTimersByTimeAsync(100);
  await waiting;
  wakes.wake();
  expect(look).toHaveBeenCalledTimes(1);
  vi.useRealTimers();
});
