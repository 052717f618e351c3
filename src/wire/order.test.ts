/** Frames of several connections come out once each, in order, whatever overtook what. */
import * as fc from "fast-check";
import { expect, test } from "vitest";

import { endFrame, type Frame } from "./frame.ts";
import { WINDOW_FRAMES } from "./limits.ts";
import { FrameOrder } from "./order.ts";

const takeAll = (order: FrameOrder<Frame>): number[] => {
  const numbers: number[] = [];
  for (let next = order.take(); next !== undefined; next = order.take()) numbers.push(next.number);
  return numbers;
};

const counted = (last: number): number[] => Array.from({ length: last }, (_, at) => at + 1);

test("frames striped over connections are in order again", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(3), { maxLength: 100 }), fc.infiniteStream(fc.nat(3)), (stripes, reads) => {
      const connections: number[][] = [[], [], [], []];
      for (const [at, stripe] of stripes.entries()) connections[stripe]?.push(at + 1);
      const order = new FrameOrder<Frame>();
      const got: number[] = [];
      while (connections.some((connection) => connection.length > 0)) {
        const wish = reads.next().value ?? 0;
        // The relay reads only what the window has room for.
        const ready = connections.filter(([head]) => head !== undefined && head < order.next + WINDOW_FRAMES);
        const number = ready[wish % ready.length]?.shift();
        if (number !== undefined) order.put(endFrame(number));
        got.push(...takeAll(order));
      }
      expect(got).toEqual(counted(stripes.length));
      expect(order.waiting).toBe(0);
    }),
  );
});

test("a gap holds everything behind it back", () => {
  const order = new FrameOrder<Frame>();
  for (const number of [2, 3, 4]) order.put(endFrame(number));
  expect(takeAll(order)).toEqual([]);
  expect(order.waiting).toBe(3);
  order.put(endFrame(1));
  expect(takeAll(order)).toEqual([1, 2, 3, 4]);
});

test.each([
  ["a frame that was taken", 1],
  ["a frame that waits", 3],
  ["a frame beyond the window", 2 + WINDOW_FRAMES],
])("%s is refused, and changes nothing", (_name, number) => {
  const order = new FrameOrder<Frame>();
  order.put(endFrame(1));
  order.take();
  order.put(endFrame(3));
  expect(() => order.put(endFrame(number))).toThrow(/twice|too far/);
  order.put(endFrame(2));
  expect(takeAll(order)).toEqual([2, 3]);
});
