/**
 * MECOM's class of a page, by zero bytes and by what WKdm would find (Wilson, Kaplan, Smaragdakis, USENIX 1999): 1024 words
 * against a direct-mapped dictionary of the 16 words seen last, by their high 22 bits. 0 when three quarters of the bytes are
 * zero and a list of (offset, value) is shorter than WKdm's output; 1 when half of the words match; else 2.
 *
 * The dictionary is in four vectors, not in memory, because there is no memory here that another thread has not too.
 */
import { PAGE_BYTES } from "./scan.ts";

const WORDS: u32 = 1024;
const SIMILAR_WORDS: u32 = 512;
const ZERO_BYTES_MIN: u32 = 3072;
/** Twelve bits of offset and eight of value, in whole bytes. */
const LISTED_BITS: u32 = 24;
const TAG_BITS: u32 = 2;
const EXACT_BITS: u32 = 4;
const PARTIAL_BITS: u32 = 14;
const MISS_BITS: u32 = 32;
const LOW_BITS: u32 = 10;
const NOWHERE: u32 = 16;

function zeroBytes(page: usize): u32 {
  const zero = i8x16.splat(0);
  let count: u32 = 0;
  for (const end = page + PAGE_BYTES; page < end; page += 32) {
    const one = i8x16.bitmask(i8x16.eq(v128.load(page), zero)) & 0xffff;
    const two = i8x16.bitmask(i8x16.eq(v128.load(page, 16), zero)) << 16;
    count += popcnt<u32>(one | two);
  }
  return count;
}

export function wordClass(page: usize): u32 {
  const zeros = zeroBytes(page);
  const mostlyZero = zeros >= ZERO_BYTES_MIN;
  const places0 = i32x4(0, 1, 2, 3);
  const places1 = i32x4(4, 5, 6, 7);
  const places2 = i32x4(8, 9, 10, 11);
  const places3 = i32x4(12, 13, 14, 15);
  let words0 = i32x4.splat(0);
  let words1 = i32x4.splat(0);
  let words2 = i32x4.splat(0);
  let words3 = i32x4.splat(0);
  let matches: u32 = 0;
  let exact: u32 = 0;
  let nonZero: u32 = 0;
  let left: u32 = WORDS;
  for (let at = page; left > 0; at += 4) {
    // Zeros come in rows, and then four are one test.
    if ((left & 3) == 0 && !v128.any_true(v128.load(at))) {
      left -= 4;
      at += 12;
      continue;
    }
    left -= 1;
    const word = load<u32>(at);
    // A zero word has a tag of its own and no place in the dictionary. No branch: words of a heap are not foreseeable.
    const isWord = <u32>(word != 0);
    const place = i32x4.splat(select<u32>(((word >> LOW_BITS) * 0x9e3779b1) >> 28, NOWHERE, isWord != 0));
    const here0 = i32x4.eq(place, places0);
    const here1 = i32x4.eq(place, places1);
    const here2 = i32x4.eq(place, places2);
    const here3 = i32x4.eq(place, places3);
    const fresh = i32x4.splat(word);
    const found0 = v128.and(v128.xor(words0, fresh), here0);
    const found1 = v128.and(v128.xor(words1, fresh), here1);
    const found2 = v128.and(v128.xor(words2, fresh), here2);
    const found3 = v128.and(v128.xor(words3, fresh), here3);
    const found = v128.or(v128.or(found0, found1), v128.or(found2, found3));
    // All lanes but one are zero, and that one is the entry's difference from the word.
    const pair = i64x2.extract_lane(found, 0) | i64x2.extract_lane(found, 1);
    const difference = <u32>(pair | (pair >> 32));
    nonZero += isWord;
    matches += isWord & <u32>(difference >> LOW_BITS == 0);
    exact += isWord & <u32>(difference == 0);
    words0 = v128.xor(words0, found0);
    words1 = v128.xor(words1, found1);
    words2 = v128.xor(words2, found2);
    words3 = v128.xor(words3, found3);
    if (!mostlyZero && (matches >= SIMILAR_WORDS || matches + left < SIMILAR_WORDS)) break;
  }
  const misses = nonZero - matches;
  const bits = TAG_BITS * WORDS + exact * EXACT_BITS + (matches - exact) * PARTIAL_BITS + misses * MISS_BITS;
  if (mostlyZero && (<u32>PAGE_BYTES - zeros) * LISTED_BITS < bits) return 0;
  return matches >= SIMILAR_WORDS ? 1 : 2;
}
