/**
 * Speed of each page kernel over 4 KiB pages: `node scripts/bench-kernels.ts` prints one line per kernel and kind of page. The best
 * of several runs, because other work on the machine only ever slows one down.
 */
import { openKernels } from "../src/relay/kernels.ts";
import { PAGE_BYTES } from "../src/page/types.ts";

const PAGES = 2048;
const RUNS = 7;
const REPEATS = 10;
const HALF = (PAGES / 2) * PAGE_BYTES;
const SCRATCH = PAGES * PAGE_BYTES;

const kernels = openKernels({ pages: PAGES + 16 });
const { bytes } = kernels;

let state = 1;
const random = (below: number): number => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * below);
};

const fillRandom = (from: number, to: number): void => {
  for (let at = from; at < to; at += 1) bytes[at] = random(256);
};

/** The second half becomes the first half with `edits` edits of `length` bytes in each page. */
const near = (edits: number, length: number): void => {
  bytes.copyWithin(HALF, 0, HALF);
  for (let page = HALF; page < SCRATCH; page += PAGE_BYTES) {
    for (let edit = 0; edit < edits; edit += 1) {
      const at = page + random(PAGE_BYTES - length);
      fillRandom(at, at + length);
    }
  }
};

/** Words of a heap: pointers into few places, small numbers, zeros. */
const fillWords = (): void => {
  const words = new Uint32Array(bytes.buffer, 0, SCRATCH / 4);
  for (let at = 0; at < words.length; at += 1) {
    words[at] = [0, random(100), 0x7f3a_1000 + random(4096), random(2 ** 32)][random(4)] ?? 0;
  }
};

/** GB/s of one call per page over the first half. */
const measure = (name: string, call: (page: number) => unknown): void => {
  let best = Number.POSITIVE_INFINITY;
  for (let run = 0; run < RUNS; run += 1) {
    const began = performance.now();
    for (let repeat = 0; repeat < REPEATS; repeat += 1) {
      for (let page = 0; page < HALF; page += PAGE_BYTES) call(page);
    }
    best = Math.min(best, performance.now() - began);
  }
  const pages = (REPEATS * HALF) / PAGE_BYTES;
  const speed = (pages * PAGE_BYTES) / best / 1e6;
  console.log(
    `${name.padEnd(44)} ${speed.toFixed(2).padStart(7)} GB/s ${((best * 1e6) / pages).toFixed(0).padStart(7)} ns/page`,
  );
};

bytes.fill(0);
measure("isZero, zero", (page) => kernels.isZero(page));
measure("wordClass, zero", (page) => kernels.wordClass(page));
fillWords();
measure("wordClass, words", (page) => kernels.wordClass(page));
fillRandom(0, HALF);
measure("isZero, random", (page) => kernels.isZero(page));
measure("wordClass, random", (page) => kernels.wordClass(page));
measure("copy", (page) => kernels.copy(page, page + HALF));
measure("equal, equal", (page) => kernels.equal(page, page + HALF));
measure("sums", (page) => kernels.sums(page, SCRATCH));
measure("features", (page) => kernels.features(page, SCRATCH));
measure("digest, one page", (page) => kernels.digest(page, 1, SCRATCH));
const halves = new Uint32Array(bytes.buffer, SCRATCH, 1);
measure(
  "Map lookup by hash",
  (() => {
    const map = new Map<number | undefined, number>();
    return (page) => {
      kernels.sums(page, SCRATCH);
      map.set(halves[0], page);
    };
  })(),
);

for (const [edits, length] of [
  [0, 0],
  [8, 8],
  [40, 16],
  [128, 12],
  [512, 2],
] as const) {
  near(edits, length);
  let delta = 0;
  for (let page = 0; page < HALF; page += PAGE_BYTES)
    delta += kernels.deltaEncode(page, page + HALF, SCRATCH, PAGE_BYTES);
  const ratio = (HALF / Math.max(1, delta)).toFixed(1);
  measure(`deltaEncode, ${edits} × ${length} B (ratio ${ratio})`, (page) =>
    kernels.deltaEncode(page, page + HALF, SCRATCH, PAGE_BYTES),
  );
  const size = kernels.deltaEncode(0, HALF, SCRATCH, PAGE_BYTES);
  measure(`deltaDecode, ${edits} × ${length} B`, (page) =>
    kernels.deltaDecode(page, SCRATCH, size, SCRATCH + 2 * PAGE_BYTES),
  );
}
