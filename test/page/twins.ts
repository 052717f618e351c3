/** The kernels' slow, obvious twins: the same promises over plain arrays, one byte or word at a time. */
const PAGE = 4096;
const U64 = (1n << 64n) - 1n;

export const isZero = (page: Uint8Array): boolean => page.every((byte) => byte === 0);

export const equal = (one: Uint8Array, other: Uint8Array): boolean =>
  one.every((byte, at) => byte === other[at]);

interface Run {
  readonly start: number;
  readonly end: number;
}

function runs(base: Uint8Array, page: Uint8Array): Run[] {
  const found: Run[] = [];
  for (let at = 0; at < PAGE; at += 1) {
    if (base[at] === page[at]) continue;
    const last = found.at(-1);
    if (last !== undefined && at - last.end <= 2) found[found.length - 1] = { ...last, end: at + 1 };
    else found.push({ start: at, end: at + 1 });
  }
  return found;
}

function header(skip: number, length: number): number[] {
  const size = length < 16 ? length - 1 : 15;
  const word = skip | (size << 12);
  const first = [word & 0xff, word >> 8];
  if (length < 16) return first;
  if (length < 271) return [...first, length - 16];
  return [...first, 255, length & 0xff, length >> 8];
}

/** The delta, however long. */
export function deltaEncode(base: Uint8Array, page: Uint8Array): Uint8Array {
  const out: number[] = [];
  let ended = 0;
  for (const { start, end } of runs(base, page)) {
    out.push(...header(start - ended, end - start), ...page.subarray(start, end));
    ended = end;
  }
  return Uint8Array.from(out.length === 0 ? [0] : out);
}

/** The page, or null for a delta no encoder makes. */
export function deltaDecode(base: Uint8Array, delta: Uint8Array): Uint8Array | null {
  const page = Uint8Array.from(base);
  if (delta.length === 1) return delta[0] === 0 ? page : null;
  if (delta.length === 0) return null;
  let at = 0;
  let position = 0;
  const next = (): number => {
    const byte = delta[at];
    if (byte === undefined) throw new RangeError("the delta ends too early");
    at += 1;
    return byte;
  };
  const word = (): number => next() + next() * 256;
  try {
    while (at < delta.length) {
      const isFirst = at === 0;
      const first = word();
      const skip = first & 0xfff;
      if (!isFirst && skip < 3) return null;
      let length = (first >> 12) + 1;
      if (length === 16) length += next();
      if (length === 271) {
        length = word();
        if (length < 271) return null;
      }
      position += skip;
      if (position + length > PAGE) return null;
      for (let count = 0; count < length; count += 1) {
        page[position] = next();
        position += 1;
      }
    }
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
  return page;
}

const PRIME_1 = 0x9e3779b185ebca87n;
const PRIME_2 = 0xc2b2ae3d27d4eb4fn;
const PRIME_3 = 0x165667b19e3779f9n;

function mix(given: bigint): bigint {
  let value = given;
  value ^= value >> 33n;
  value = (value * PRIME_2) & U64;
  value ^= value >> 29n;
  value = (value * PRIME_3) & U64;
  return value ^ (value >> 32n);
}

const KEYS = [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a];
const LANES = [0, 0x85ebca77, 0xc2b2ae3d, 0x27d4eb2f];
const STEP = 0x9e3779b1;

/** Word `at` of 64-byte block `block`, as it enters a product. */
const keyed = (words: Uint32Array, block: number, at: number, seed: number): bigint => {
  const key = (KEYS[at >> 2] ?? 0) + (LANES[at & 3] ?? 0) + Math.imul(block, STEP) + seed;
  return BigInt(((words[block * 16 + at] ?? 0) + key) >>> 0);
};

/** Two folds of eight sums. */
function accumulate(bytes: Uint8Array, seed: number): readonly [bigint, bigint] {
  const words = new Uint32Array(Uint8Array.from(bytes).buffer);
  const data = new BigUint64Array(words.buffer);
  const sums = Array.from({ length: 8 }, (_, sum) => {
    // Sums 0..3 multiply words 0..3 with 4..7 and add the block's second half; sums 4..7 the other way round.
    const half = sum < 4 ? 0 : 8;
    let total = 0n;
    for (let block = 0; block * 64 < bytes.length; block += 1) {
      const at = half + (sum & 3);
      const product = keyed(words, block, at, seed) * keyed(words, block, at + 4, seed);
      total += product + (data[block * 8 + ((sum + 4) & 7)] ?? 0n);
    }
    return total & U64;
  });
  const fold = (order: readonly number[], start: bigint): bigint =>
    order.reduce(
      (value, sum, index) => mix(((index === 0 ? value : value + PRIME_1) & U64) ^ (sums[sum] ?? 0n)),
      start,
    );
  return [fold([0, 1, 2, 3, 4, 5, 6, 7], PRIME_1), fold([6, 7, 4, 5, 2, 3, 0, 1], PRIME_3)];
}

export const sums = (page: Uint8Array): readonly [bigint, bigint] => accumulate(page, 0);

export function digest(pages: readonly Uint8Array[]): readonly [bigint, bigint] {
  let one = PRIME_1;
  let two = PRIME_2;
  for (const page of pages) {
    const [low, high] = accumulate(page, 0);
    one = (mix(one ^ low) + PRIME_3) & U64;
    two = (mix(two ^ high) + one) & U64;
  }
  const count = BigInt(pages.length);
  return [mix(one ^ count), mix((two + count) & U64)];
}

export const features = (page: Uint8Array): number[] =>
  [11, 29, 46, 57].map((block) => {
    const bytes = page.subarray(block * 64, block * 64 + 64);
    if (bytes.every((byte, at) => byte === bytes[at & 3])) return 0;
    return Number(accumulate(bytes, block)[0] & 0xffff_ffffn) || 1;
  });

export function wordClass(page: Uint8Array): 0 | 1 | 2 {
  const words = new Uint32Array(Uint8Array.from(page).buffer);
  const zeros = page.filter((byte) => byte === 0).length;
  const dictionary = new Uint32Array(16);
  let matches = 0;
  let bits = 2 * words.length;
  for (const word of words) {
    if (word === 0) continue;
    const place = Math.imul(word >>> 10, STEP) >>> 28;
    const entry = dictionary[place] ?? 0;
    if (entry >>> 10 === word >>> 10) {
      matches += 1;
      bits += entry === word ? 4 : 14;
    } else bits += 32;
    dictionary[place] = word;
  }
  if (zeros / PAGE >= 0.75 && (PAGE - zeros) * 24 < bits) return 0;
  return matches / words.length >= 0.5 ? 1 : 2;
}
