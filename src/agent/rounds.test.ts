import { afterEach, beforeEach, expect, it, vi } from "vitest";

import { Rounds } from "./rounds.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

it("comes again so long after it was over, and not while it lasts", async () => {
  const begun: number[] = [];
  let end = (_ms: number): void => {};
  const rounds = new Rounds(() => {
    begun.push(Date.now());
    return new Promise((resolve) => (end = resolve));
  });
  const startMs = Date.now();
  rounds.open(1_000);
  await vi.advanceTimersByTimeAsync(4_000);
  end(5_000);
  await vi.advanceTimersByTimeAsync(4_999);
  expect(begun.map((ms) => ms - startMs)).toEqual([1_000]);
  await vi.advanceTimersByTimeAsync(1);
  expect(begun.map((ms) => ms - startMs)).toEqual([1_000, 9_000]);
  rounds.close();
});

it.each(["before the first", "while one lasts", "between two"])(
  "does not come again once closed: %s",
  async (when) => {
    let count = 0;
    let end = (_ms: number): void => {};
    const rounds = new Rounds(() => {
      count += 1;
      return new Promise((resolve) => (end = resolve));
    });
    rounds.open(1_000);
    if (when !== "before the first") await vi.advanceTimersByTimeAsync(1_000);
    if (when === "between two") {
      end(1_000);
      await vi.advanceTimersByTimeAsync(0);
    }
    rounds.close();
    end(0);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(count).toBe(when === "before the first" ? 0 : 1);
  },
);
