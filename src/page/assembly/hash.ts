/**
 * Hashes of pages. None is cryptographic: a hash finds candidates that are then compared, a digest guards against
 * faults of our own, not against a peer who makes collisions.
 *
 * A page's accumulation follows NH (Black et al., UMAC, CRYPTO 1999): 32-bit words are added to keys, multiplied in pairs
 * to 64 bits and summed. Wasm has no 64×64→128 multiply, and this is its fastest good mixing. The keys move with the
 * position, so order counts; the words themselves are added too, as XXH3 does, so that a key which makes one factor zero
 * does not hide the other. Eight 64-bit sums are folded in two ways into 128 bits.
 */
import { PAGE_BYTES } from "./scan.ts";

/** Odd constants with even bit counts: fractions of √2, √3, √5, √7 and the golden ratio, and xxHash's 64-bit primes. */
const STEP: u32 = 0x9e3779b1;
const KEY_A: u32 = 0x6a09e667;
const KEY_B: u32 = 0xbb67ae85;
const KEY_C: u32 = 0x3c6ef372;
const KEY_D: u32 = 0xa54ff53a;
const LANE_1: u32 = 0x85ebca77;
const LANE_2: u32 = 0xc2b2ae3d;
const LANE_3: u32 = 0x27d4eb2f;
const PRIME_1: u64 = 0x9e3779b185ebca87;
const PRIME_2: u64 = 0xc2b2ae3d27d4eb4f;
const PRIME_3: u64 = 0x165667b19e3779f9;

/** The last accumulation's two folds. */
let low: u64 = 0;
let high: u64 = 0;

function mix(value: u64): u64 {
  value ^= value >> 33;
  value *= PRIME_2;
  value ^= value >> 29;
  value *= PRIME_3;
  return value ^ (value >> 32);
}

function keys(first: u32): v128 {
  const lanes = i32x4.replace_lane(i32x4.splat(0), 1, LANE_1);
  const more = i32x4.replace_lane(i32x4.replace_lane(lanes, 2, LANE_2), 3, LANE_3);
  return i32x4.add(i32x4.splat(first), more);
}

/** Sums over `bytes`, a multiple of 64, at `at`. */
function accumulate(at: usize, bytes: usize, seed: u32): void {
  const step = i32x4.splat(STEP);
  let keyA = keys(KEY_A + seed);
  let keyB = keys(KEY_B + seed);
  let keyC = keys(KEY_C + seed);
  let keyD = keys(KEY_D + seed);
  let sumA = i64x2.splat(0);
  let sumB = i64x2.splat(0);
  let sumC = i64x2.splat(0);
  let sumD = i64x2.splat(0);
  for (const end = at + bytes; at < end; at += 64) {
    const a = v128.load(at);
    const b = v128.load(at, 16);
    const c = v128.load(at, 32);
    const d = v128.load(at, 48);
    const ka = i32x4.add(a, keyA);
    const kb = i32x4.add(b, keyB);
    const kc = i32x4.add(c, keyC);
    const kd = i32x4.add(d, keyD);
    sumA = i64x2.add(sumA, i64x2.add(i64x2.extmul_low_i32x4_u(ka, kb), c));
    sumB = i64x2.add(sumB, i64x2.add(i64x2.extmul_high_i32x4_u(ka, kb), d));
    sumC = i64x2.add(sumC, i64x2.add(i64x2.extmul_low_i32x4_u(kc, kd), a));
    sumD = i64x2.add(sumD, i64x2.add(i64x2.extmul_high_i32x4_u(kc, kd), b));
    keyA = i32x4.add(keyA, step);
    keyB = i32x4.add(keyB, step);
    keyC = i32x4.add(keyC, step);
    keyD = i32x4.add(keyD, step);
  }
  low = fold(sumA, sumB, sumC, sumD, PRIME_1);
  high = fold(sumD, sumC, sumB, sumA, PRIME_3);
}

/** Each sum passes a bijection of the result so far, so that one changed sum always changes it. */
function fold(a: v128, b: v128, c: v128, d: v128, start: u64): u64 {
  let value = mix(start ^ i64x2.extract_lane(a, 0)) + PRIME_1;
  value = mix(value ^ i64x2.extract_lane(a, 1)) + PRIME_1;
  value = mix(value ^ i64x2.extract_lane(b, 0)) + PRIME_1;
  value = mix(value ^ i64x2.extract_lane(b, 1)) + PRIME_1;
  value = mix(value ^ i64x2.extract_lane(c, 0)) + PRIME_1;
  value = mix(value ^ i64x2.extract_lane(c, 1)) + PRIME_1;
  value = mix(value ^ i64x2.extract_lane(d, 0)) + PRIME_1;
  return mix(value ^ i64x2.extract_lane(d, 1));
}

export function sums(page: usize, out: usize): void {
  accumulate(page, PAGE_BYTES, 0);
  store<u64>(out, low);
  store<u64>(out, high, 8);
}

/** Order counts: each page's halves enter a chain in which every link is a bijection of the state before. */
export function digest(sums: usize, count: u32, out: usize): void {
  let one = PRIME_1;
  let two = PRIME_2;
  for (const end = sums + ((<usize>count) << 4); sums < end; sums += 16) {
    one = mix(one ^ load<u64>(sums)) + PRIME_3;
    two = mix(two ^ load<u64>(sums, 8)) + one;
  }
  store<u64>(out, mix(one ^ <u64>count));
  store<u64>(out, mix(two + <u64>count), 8);
}

/** A block that is one 32-bit word over and over is in too many pages to find anything by. */
function saysNothing(block: usize): bool {
  const first = v128.load(block);
  const word = i32x4.splat(i32x4.extract_lane(first, 0));
  const one = v128.or(v128.xor(first, word), v128.xor(v128.load(block, 16), word));
  const two = v128.or(v128.xor(v128.load(block, 32), word), v128.xor(v128.load(block, 48), word));
  return !v128.any_true(v128.or(one, two));
}

function feature(page: usize, block: u32, out: usize): void {
  const at = page + ((<usize>block) << 6);
  if (saysNothing(at)) {
    store<u32>(out, 0);
    return;
  }
  accumulate(at, 64, block);
  const value = <u32>low;
  store<u32>(out, value == 0 ? 1 : value);
}

/** Blocks 11, 29, 46 and 57 of 64, drawn once: not the first words of a page, where allocators and headers repeat. */
export function features(page: usize, out: usize): void {
  feature(page, 11, out);
  feature(page, 29, out + 4);
  feature(page, 46, out + 8);
  feature(page, 57, out + 12);
}
