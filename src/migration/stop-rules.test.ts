import { describe, expect, test } from "vitest";

import { MiB, viewOf } from "../../test/deciding/arbitrary.ts";
import { enough, smallEnough } from "./stop-rules.ts";

describe("stop rules", () => {
  test("a rule that was not given never fires", () => {
    const view = viewOf(Array.from({ length: 500 }, () => 0));
    expect(enough(view, {})).toBeNull();
    expect(smallEnough(view, {})).toBeNull();
  });

  test("rounds fire when so many are over", () => {
    expect(enough(viewOf([9, 9]), { rounds: 3 })).toBeNull();
    expect(enough(viewOf([9, 9, 9]), { rounds: 3 })?.by).toBe("rounds");
  });

  test("bytes fire within a round, at the factor of RAM", () => {
    expect(enough(viewOf([], { sentBytes: 1535 * MiB }), { bytesFactor: 1.5 })).toBeNull();
    expect(enough(viewOf([], { sentBytes: 1536 * MiB }), { bytesFactor: 1.5 })?.by).toBe("bytes");
  });

  test("the remaining set is judged by the dirty log, not by what is left of the round", () => {
    const nearlySent = viewOf([90], { remainingBytes: 1 });
    expect(smallEnough(nearlySent, { remainingBytes: 10 * MiB })).toBeNull();
    expect(smallEnough(viewOf([10]), { remainingBytes: 10 * MiB })).toContain("small enough");
  });

  test("before the first round's end nothing is known to be small", () => {
    expect(smallEnough(viewOf([], { remainingBytes: 0 }), { remainingBytes: MiB })).toBeNull();
  });
});
