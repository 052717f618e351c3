/** Every kernel agrees with its twin, and none touches a byte that is not its own. */
import { readFileSync } from "node:fs";
import * as fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";

import { compileKernels, KERNELS_WASM } from "../../scripts/build-kernels.mjs";
import * as twins from "../../test/page/twins.ts";
import { kernelsModule, loadKernels } from "./kernels.ts";
import { FEATURES, PAGE_BYTES, SUMS_BYTES } from "./types.ts";

/** Two of WebAssembly's own pages, exactly. */
const PAGES = 32;
const MEMORY_BYTES = PAGES * PAGE_BYTES;
const module = kernelsModule(readFileSync(KERNELS_WASM));
const kernels = loadKernels(module, { pages: PAGES });
const memory = kernels.bytes;

// The last page of the memory is among them: a kernel that reads past a page would trap there.
const FIRST = MEMORY_BYTES - PAGE_BYTES;
const SECOND = 4 * PAGE_BYTES;
const THIRD = 8 * PAGE_BYTES;
const DELTA = 16 * PAGE_BYTES;

const FILL = 0xa5;
const FILLED = Buffer.alloc(MEMORY_BYTES, FILL);
beforeEach(() => void memory.fill(FILL));

const put = (at: number, bytes: Uint8Array): number => {
  memory.set(bytes, at);
  return at;
};
const get = (at: number, length = PAGE_BYTES): Uint8Array => memory.slice(at, at + length);

const sumsOf = (page: number): readonly bigint[] => {
  kernels.sums(page, DELTA);
  return [...new BigUint64Array(get(DELTA, SUMS_BYTES).buffer)];
};

/** Whether all is as filled but the ranges given. */
const untouchedBut = (...ranges: readonly (readonly [number, number])[]): boolean => {
  const copy = Buffer.from(memory);
  for (const [at, length] of ranges) copy.fill(FILL, at, at + length);
  return copy.equals(FILLED);
};

/** A page from few numbers, so that thousands are made quickly and still shrink. */
const seeded = (seed: number, alphabet: number): Uint8Array => {
  let state = seed | 1;
  return Uint8Array.from({ length: PAGE_BYTES }, () => {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9;
    return ((state >>> 16) & 0xff) % alphabet;
  });
};

const anyPage = fc
  .tuple(fc.integer(), fc.constantFrom(1, 2, 3, 256))
  .map(([seed, alphabet]) => seeded(seed, alphabet));

/** Words that repeat, differ in their low bits, or are zero. */
const wordPage = fc
  .array(fc.constantFrom(0, 0, 7, 0x1234_5678, 0x1234_5679, 0x8000_0000, 0xffff_ffff, 0xdead_beef), {
    minLength: 1024,
    maxLength: 1024,
    size: "max",
  })
  .map((words) => new Uint8Array(Uint32Array.from(words).buffer));

const edits = fc.array(
  fc.record({
    at: fc.nat(PAGE_BYTES - 1),
    bytes: fc.oneof(
      fc.uint8Array({ minLength: 1, maxLength: 40 }),
      fc.nat(1200).map((length) => seeded(length, 256).subarray(0, length)),
    ),
  }),
  { maxLength: 40 },
);

const edited = (page: Uint8Array, changes: readonly { at: number; bytes: Uint8Array }[]): Uint8Array => {
  const copy = page.slice();
  for (const { at, bytes } of changes) copy.set(bytes.subarray(0, PAGE_BYTES - at), at);
  return copy;
};

const pair = fc.oneof(
  fc.tuple(anyPage, edits).map(([page, changes]): [Uint8Array, Uint8Array] => [page, edited(page, changes)]),
  fc.tuple(anyPage, anyPage),
);

test("the committed module is what its source compiles to", async () => {
  expect(Buffer.from(await compileKernels()).equals(readFileSync(KERNELS_WASM))).toBe(true);
});

test("the module keeps nothing in the memory: all of it is the caller's", () => {
  loadKernels(module, { memory: kernels.memory });
  expect(untouchedBut()).toBe(true);
});

test.each([0, -1, Number.NaN, 2 ** 20 + 1])("a memory of %d pages is refused", (pages) => {
  expect(() => loadKernels(module, { pages })).toThrow(RangeError);
});

test("pages are compared to the last byte", () => {
  fc.assert(
    fc.property(pair, fc.nat(PAGE_BYTES - 1), ([one, other], at) => {
      expect(kernels.equal(put(FIRST, one), put(SECOND, other))).toBe(twins.equal(one, other));
      expect(kernels.equal(FIRST, put(SECOND, one))).toBe(true);
      memory[SECOND + at] = (memory[SECOND + at] ?? 0) ^ 1;
      expect(kernels.equal(FIRST, SECOND)).toBe(false);
    }),
  );
});

test("a page is zero to its last byte, whatever is around it", () => {
  const zero = new Uint8Array(PAGE_BYTES);
  expect([kernels.isZero(put(FIRST, zero)), kernels.isZero(put(SECOND, zero))]).toEqual([true, true]);
  for (let at = 0; at < PAGE_BYTES; at += 1) {
    put(FIRST, zero);
    memory[FIRST + at] = 1;
    if (kernels.isZero(FIRST)) expect(at).toBe("seen");
  }
});

test("a copy is the page and nothing beside it", () => {
  const page = seeded(5, 256);
  kernels.copy(put(FIRST, page), SECOND);
  expect(get(SECOND)).toEqual(page);
  expect(untouchedBut([FIRST, PAGE_BYTES], [SECOND, PAGE_BYTES])).toBe(true);
});

describe("a delta", () => {
  test("is its twin's, rebuilds the page, also in place, and writes nowhere else", () => {
    fc.assert(
      fc.property(pair, ([base, page]) => {
        memory.fill(FILL);
        const expected = twins.deltaEncode(base, page);
        const length = kernels.deltaEncode(put(SECOND, base), put(FIRST, page), DELTA, expected.length);
        expect(get(DELTA, length)).toEqual(expected);
        expect(kernels.deltaDecode(SECOND, DELTA, length, THIRD)).toBe(true);
        expect(get(THIRD)).toEqual(page);
        const pages = [FIRST, SECOND, THIRD].map((at) => [at, PAGE_BYTES] as const);
        expect(untouchedBut(...pages, [DELTA, length])).toBe(true);
        expect(kernels.deltaDecode(SECOND, DELTA, length, SECOND)).toBe(true);
        expect(get(SECOND)).toEqual(page);
      }),
      { numRuns: 300 },
    );
  });

  test("that does not fit is none, and what was written stays within the limit", () => {
    fc.assert(
      fc.property(pair, fc.nat(), ([base, page], cut) => {
        memory.fill(FILL);
        const limit = cut % twins.deltaEncode(base, page).length;
        expect(kernels.deltaEncode(put(SECOND, base), put(FIRST, page), DELTA, limit)).toBe(0);
        expect(untouchedBut([FIRST, PAGE_BYTES], [SECOND, PAGE_BYTES], [DELTA, limit])).toBe(true);
      }),
    );
  });

  test("of a few edits is a few bytes; of equal pages one", () => {
    const base = seeded(9, 256);
    const page = base.slice();
    page[0] = (page[0] ?? 0) ^ 1;
    page[4095] = (page[4095] ?? 0) ^ 1;
    put(SECOND, base);
    expect(kernels.deltaEncode(SECOND, put(FIRST, page), DELTA, PAGE_BYTES)).toBe(6);
    expect(kernels.deltaEncode(SECOND, put(FIRST, base), DELTA, PAGE_BYTES)).toBe(1);
  });

  test("may have any limit, also one past the end of positions", () => {
    const base = seeded(1, 256);
    put(SECOND, base);
    put(FIRST, seeded(2, 256));
    expect(kernels.deltaEncode(SECOND, FIRST, DELTA, 2 ** 32 - 1)).toBeGreaterThan(PAGE_BYTES / 2);
  });
});

describe("a hostile delta", () => {
  const base = seeded(3, 256);
  /** Whole runs, in the header's three forms, also where a shorter form or no gap at all would be the encoder's. */
  const run = fc
    .record({
      skip: fc.oneof(fc.nat(6), fc.nat(4095)),
      length: fc.oneof(fc.integer({ min: 1, max: 30 }), fc.integer({ min: 250, max: 300 }), fc.nat(4200)),
      form: fc.nat(2),
    })
    .map(({ skip, length, form }) => {
      const short = [skip & 0xff, (skip >> 8) | 0xf0];
      const bytes = Array.from({ length }, () => 3);
      if (form === 0 && length >= 1 && length <= 15) {
        return [skip & 0xff, (skip >> 8) | ((length - 1) << 4), ...bytes];
      }
      if (form === 1 && length >= 16 && length <= 270) return [...short, length - 16, ...bytes];
      return [...short, 255, length & 0xff, length >> 8, ...bytes];
    });
  const crafted = fc.array(run, { maxLength: 6 }).map((parts) => Uint8Array.from(parts.flat()));
  const damaged = fc.tuple(edits, fc.nat(), fc.integer({ min: 0, max: 255 })).map(([changes, at, value]) => {
    const delta = twins.deltaEncode(base, edited(base, changes));
    delta[at % delta.length] = value;
    return delta.subarray(0, at % 5 === 0 ? at % (delta.length + 1) : delta.length);
  });
  const hostile = fc.oneof(fc.uint8Array({ maxLength: 64 }), crafted, damaged);

  test("is read as its twin reads it, at the very end of the memory, and refused before a byte is written", () => {
    fc.assert(
      fc.property(hostile, (delta) => {
        memory.fill(FILL);
        const at = put(MEMORY_BYTES - delta.length, delta);
        const expected = twins.deltaDecode(base, delta);
        const done = kernels.deltaDecode(put(SECOND, base), at, delta.length, THIRD);
        expect(done).toBe(expected !== null);
        if (expected !== null) expect(get(THIRD)).toEqual(expected);
        const written: [number, number] = [THIRD, done ? PAGE_BYTES : 0];
        expect(untouchedBut([SECOND, PAGE_BYTES], [at, delta.length], written)).toBe(true);
      }),
      { numRuns: 3000 },
    );
  });

  test.each([0, 1, 2, 3, 5])("of %d bytes is never read beyond them, and nothing traps", (length) => {
    for (let first = 0; first < 65_536; first += 257) {
      const delta = Uint8Array.of(first & 0xff, first >> 8, 255, first & 0xff, 255).subarray(0, length);
      kernels.deltaDecode(SECOND, put(MEMORY_BYTES - length, delta), length, THIRD);
    }
    expect(kernels.deltaDecode(SECOND, MEMORY_BYTES, 0, THIRD)).toBe(false);
  });
});

describe("hash, features and class", () => {
  test("are their twins'", () => {
    fc.assert(
      fc.property(fc.oneof(anyPage, wordPage), (page) => {
        memory.fill(FILL);
        put(FIRST, page);
        expect(sumsOf(FIRST)).toEqual(twins.sums(page));
        expect(kernels.wordClass(FIRST)).toBe(twins.wordClass(page));
        kernels.features(FIRST, DELTA);
        expect([...new Uint32Array(get(DELTA, FEATURES * 4).buffer)]).toEqual(twins.features(page));
        expect(untouchedBut([FIRST, PAGE_BYTES], [DELTA, FEATURES * 4])).toBe(true);
      }),
    );
  });

  test("no two of many near pages have one hash", () => {
    const seen = [new Set<bigint | undefined>(), new Set<bigint | undefined>()] as const;
    for (const fill of [0, 1, 255]) {
      for (let at = 0; at < PAGE_BYTES; at += 1) {
        memory.fill(fill, FIRST, FIRST + PAGE_BYTES);
        memory[FIRST + at] = fill ^ 0x80;
        const [low, high] = sumsOf(FIRST);
        seen[0].add(low);
        seen[1].add(high);
      }
    }
    expect(seen.map(({ size }) => size)).toEqual([3 * PAGE_BYTES, 3 * PAGE_BYTES]);
  });

  test("moving a block within a page changes its hash", () => {
    const page = seeded(7, 256);
    const moved = page.slice();
    moved.set(page.subarray(0, 64), 64);
    moved.set(page.subarray(64, 128), 0);
    expect(sumsOf(put(FIRST, page))).not.toEqual(sumsOf(put(SECOND, moved)));
  });

  test("a page may lie anywhere, as in a stream", () => {
    const page = seeded(9, 256);
    const sums = sumsOf(put(SECOND, page));
    for (const shift of [1, 8, 9, 4095]) {
      memory.fill(FILL);
      expect(sumsOf(put(SECOND + shift, page))).toEqual(sums);
      expect(kernels.isZero(SECOND + shift)).toBe(false);
      kernels.copy(SECOND + shift, THIRD);
      expect(kernels.equal(SECOND + shift, THIRD)).toBe(true);
      memory[THIRD + 4000] = (memory[THIRD + 4000] ?? 0) ^ 1;
      expect(kernels.deltaEncode(THIRD, SECOND + shift, DELTA + 1, PAGE_BYTES)).toBe(3);
      expect(kernels.deltaDecode(THIRD, DELTA + 1, 3, THIRD)).toBe(true);
      expect(kernels.equal(SECOND + shift, THIRD)).toBe(true);
    }
  });

  test("a page with a few edits keeps most features; a block that repeats a word is none", () => {
    const page = seeded(8, 256);
    const near = edited(page, [{ at: 11 * 64, bytes: Uint8Array.of(1, 2, 3, 4) }]);
    kernels.features(put(FIRST, page), DELTA);
    const one = new Uint32Array(get(DELTA, FEATURES * 4).buffer);
    kernels.features(put(FIRST, near), DELTA);
    const other = new Uint32Array(get(DELTA, FEATURES * 4).buffer);
    expect(one.filter((value, at) => value === other[at])).toHaveLength(FEATURES - 1);
    kernels.features(put(FIRST, new Uint8Array(PAGE_BYTES)), DELTA);
    expect(get(DELTA, FEATURES * 4).every((byte) => byte === 0)).toBe(true);
  });

  test("the three classes are told apart", () => {
    const few = new Uint8Array(PAGE_BYTES);
    few.set([1, 2, 3], 77);
    const pointers = new Uint32Array(1024).map((_, at) => 0x7f00_1000 + (at & 0xff));
    expect(kernels.wordClass(put(FIRST, few))).toBe(0);
    expect(kernels.wordClass(put(FIRST, new Uint8Array(pointers.buffer)))).toBe(1);
    expect(kernels.wordClass(put(FIRST, seeded(6, 256)))).toBe(2);
  });
});

describe("a digest", () => {
  const at = SECOND;
  const digestOf = (pages: readonly Uint8Array[]): readonly bigint[] => {
    pages.forEach((page, index) => put(at + index * PAGE_BYTES, page));
    const sums = at + pages.length * PAGE_BYTES;
    for (const index of pages.keys()) kernels.sums(at + index * PAGE_BYTES, sums + index * SUMS_BYTES);
    kernels.digest(sums, pages.length, DELTA);
    return [...new BigUint64Array(get(DELTA, 16).buffer)];
  };

  test("is its twin's, over any number of pages", () => {
    fc.assert(
      fc.property(fc.array(anyPage, { maxLength: 4 }), (pages) => {
        expect(digestOf(pages)).toEqual(twins.digest(pages));
      }),
    );
  });

  test("depends on every bit, on the order and on the count", () => {
    const pages = [seeded(1, 256), seeded(2, 256), new Uint8Array(PAGE_BYTES)];
    const [one, two, zero] = pages as [Uint8Array, Uint8Array, Uint8Array];
    const digests = [pages, [two, one, zero], [one, two], [one, two, zero, zero], [one], []].map(digestOf);
    fc.assert(
      fc.property(fc.nat(2), fc.nat(PAGE_BYTES * 8 - 1), (page, bit) => {
        const changed = pages.map((bytes) => bytes.slice());
        const bytes = changed[page] ?? one;
        bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        const [low, high] = digestOf(changed);
        expect([low === digests[0]?.[0], high === digests[0]?.[1]]).toEqual([false, false]);
      }),
    );
    expect(new Set(digests.map(String)).size).toBe(digests.length);
  });
});
