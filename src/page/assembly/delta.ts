/**
 * The delta between two pages: which bytes differ, and what they are now.
 *
 * A delta is a row of runs, each
 *
 *     u16 LE   bits 0..11  skip: bytes that are as in the base, since the end of the run before
 *              bits 12..15 size: 0..14 is a run of size + 1 bytes; 15 means that one more byte follows
 *     [u8]     0..254 is a run of 16 + value bytes; 255 means that a u16 LE follows, the run's length, 271 or more
 *     bytes    the run's bytes, as they are in the new page
 *
 * and everything after the last run is as in the base. Equal pages are the single byte 0, shorter than any run.
 *
 * After XBZRLE (Svärd et al., VEE 2011; QEMU migration/xbzrle.c), which has a ULEB128 number for each length: two bytes
 * as soon as a skip passes 127, which most do, so three for a run. Here a run of up to 15 bytes costs two wherever it
 * is. The bytes are the new ones, not their XOR: applying is a copy, and a value written in many places stays the same
 * bytes everywhere for the compressor behind. Runs that are two bytes apart or less are one: the header between them
 * would cost as much.
 */
import { PAGE_BYTES, equal64 } from "./scan.ts";

const JOIN_MAX: usize = 2;
const SIZE_MORE: u32 = 15;
const LENGTH_BYTE_MIN: usize = 16;
const LENGTH_WORD_MIN: usize = 271;
const BYTE_MORE: u32 = 255;
const EQUAL_PAGES: u8 = 0;

/** Exactly `length` bytes, without touching a byte beside them; never called with 0. */
function copyRun(from: usize, to: usize, length: usize): void {
  if (length >= 16) {
    const last = length - 16;
    for (let at: usize = 0; at < last; at += 16) v128.store(to + at, v128.load(from + at));
    v128.store(to + last, v128.load(from + last));
  } else if (length >= 8) {
    store<u64>(to, load<u64>(from));
    store<u64>(to + length - 8, load<u64>(from + length - 8));
  } else if (length >= 4) {
    store<u32>(to, load<u32>(from));
    store<u32>(to + length - 4, load<u32>(from + length - 4));
  } else {
    store<u8>(to, load<u8>(from));
    store<u8>(to + (length >> 1), load<u8>(from + (length >> 1)));
    store<u8>(to + length - 1, load<u8>(from + length - 1));
  }
}

function headerBytes(length: usize): usize {
  return length < LENGTH_BYTE_MIN ? 2 : length < LENGTH_WORD_MIN ? 3 : 5;
}

/** Writes one run at `to`, and says where the next begins; 0 when it would pass `end`. */
function putRun(page: usize, start: usize, length: usize, skip: usize, to: usize, end: usize): usize {
  const header = headerBytes(length);
  if (to + header + length > end) return 0;
  if (header == 2) {
    store<u16>(to, <u16>(skip | ((length - 1) << 12)));
  } else {
    store<u16>(to, <u16>(skip | (SIZE_MORE << 12)));
    if (header == 3) {
      store<u8>(to, <u8>(length - LENGTH_BYTE_MIN), 2);
    } else {
      store<u8>(to, <u8>BYTE_MORE, 2);
      store<u16>(to, <u16>length, 3);
    }
  }
  copyRun(page + start, to + header, length);
  return to + header + length;
}

/** One bit for each of 16 bytes: set where they differ. */
function differ16(base: usize, page: usize): u64 {
  return <u64>(i8x16.bitmask(i8x16.ne(v128.load(base), v128.load(page))) & 0xffff);
}

function differ64(base: usize, page: usize): u64 {
  return (
    differ16(base, page) |
    (differ16(base + 16, page + 16) << 16) |
    (differ16(base + 32, page + 32) << 32) |
    (differ16(base + 48, page + 48) << 48)
  );
}

/** Closes gaps of one and of two clear bits between set ones. */
function joined(differ: u64): u64 {
  const one = (differ << 1) & (differ >> 1);
  const two = (differ << 1) & (differ >> 2);
  return differ | one | two | (two << 1);
}

export function deltaEncode(base: usize, page: usize, out: usize, limit: usize): usize {
  // No end of memory is passed by a limit larger than any delta.
  const end = out + min(limit, PAGE_BYTES << 1);
  let to = out;
  let ended: usize = 0;
  let runStart: usize = 0;
  let runEnd: usize = 0;
  for (let block: usize = 0; block < PAGE_BYTES; block += 64) {
    if (equal64(base + block, page + block)) continue;
    let differ = joined(differ64(base + block, page + block));
    while (differ != 0) {
      const first = <usize>ctz(differ);
      const count = <usize>ctz(~(differ >> first));
      const start = block + first;
      if (runEnd != 0 && start - runEnd > JOIN_MAX) {
        to = putRun(page, runStart, runEnd - runStart, runStart - ended, to, end);
        if (to == 0) return 0;
        ended = runEnd;
        runStart = start;
      } else if (runEnd == 0) {
        runStart = start;
      }
      runEnd = start + count;
      const next = first + count;
      differ = next > 63 ? 0 : differ & (~(<u64>0) << next);
    }
  }
  if (runEnd == 0) {
    if (limit == 0) return 0;
    store<u8>(out, EQUAL_PAGES);
    return 1;
  }
  to = putRun(page, runStart, runEnd - runStart, runStart - ended, to, end);
  return to == 0 ? 0 : to - out;
}

/** Looks at every header before anything is written: a refused delta leaves `out` as it was. */
function isDelta(delta: usize, length: usize): bool {
  if (length == 1) return load<u8>(delta) == EQUAL_PAGES;
  if (length == 0) return false;
  let at: usize = 0;
  let position: usize = 0;
  while (at < length) {
    if (length - at < 2) return false;
    const header = <u32>load<u16>(delta + at);
    const skip = <usize>(header & 0xfff);
    if (at != 0 && skip <= JOIN_MAX) return false;
    at += 2;
    let run = <usize>(header >> 12) + 1;
    if (header >> 12 == SIZE_MORE) {
      if (at == length) return false;
      const more = <u32>load<u8>(delta + at);
      at += 1;
      run = LENGTH_BYTE_MIN + <usize>more;
      if (more == BYTE_MORE) {
        if (length - at < 2) return false;
        run = <usize>load<u16>(delta + at);
        at += 2;
        if (run < LENGTH_WORD_MIN) return false;
      }
    }
    // Neither sum can wrap: skip is below 4096, run below 65536, and both positions are bounded.
    if (run > length - at || position + skip + run > PAGE_BYTES) return false;
    at += run;
    position += skip + run;
  }
  return true;
}

export function deltaDecode(base: usize, delta: usize, length: usize, out: usize): bool {
  if (!isDelta(delta, length)) return false;
  if (base != out) memory.copy(out, base, PAGE_BYTES);
  if (length == 1) return true;
  const end = delta + length;
  let to = out;
  let at = delta;
  while (at < end) {
    const header = <u32>load<u16>(at);
    at += 2;
    let run = <usize>(header >> 12) + 1;
    if (header >> 12 == SIZE_MORE) {
      const more = <u32>load<u8>(at);
      at += 1;
      run = LENGTH_BYTE_MIN + <usize>more;
      if (more == BYTE_MORE) {
        run = <usize>load<u16>(at);
        at += 2;
      }
    }
    to += <usize>(header & 0xfff);
    copyRun(at, to, run);
    at += run;
    to += run;
  }
  return true;
}
