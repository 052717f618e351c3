/** The chunks of a `dirty-bitmap` section: block dirty bitmaps that move along with their disks. */
import type { Cursor, Joiner } from "./bytes.ts";
import { BITMAP_DATA_BYTES_MAX } from "./limits.ts";
import { BITMAP, type BitmapChunk } from "./types.ts";

/** One chunk; undefined when it is not there whole yet. A chunk with `BITMAP.extra` set is of no known form. */
export function parseBitmapChunk(cursor: Cursor): BitmapChunk | undefined {
  const flags = cursor.u8();
  if ((flags & BITMAP.extra) !== 0) return { flags };
  const has = (flag: number): boolean => (flags & flag) !== 0;
  const chunk: BitmapChunk = {
    flags,
    ...(has(BITMAP.deviceName) && { node: cursor.str8() }),
    ...(has(BITMAP.bitmapName) && { bitmap: cursor.str8() }),
    // QEMU's own description of the format says 64 bits for the granularity; its code writes 32.
    ...(has(BITMAP.start) && { start: { granularity: cursor.u32(), flags: cursor.u8() } }),
    ...(has(BITMAP.bits) && { bits: bits(cursor, has(BITMAP.zeroes)) }),
  };
  return cursor.short ? undefined : chunk;
}

function bits(cursor: Cursor, clear: boolean): NonNullable<BitmapChunk["bits"]> {
  const firstSector = cursor.u64();
  cursor.limit(firstSector, Number.MAX_SAFE_INTEGER, "sectors of a disk");
  const sectors = cursor.u32();
  if (clear) return { firstSector, sectors };
  const length = cursor.u64();
  cursor.limit(length, BITMAP_DATA_BYTES_MAX, "bytes in a dirty bitmap's chunk");
  return { firstSector, sectors, data: cursor.copy(length) };
}

export function writeBitmapChunk(out: Joiner, chunk: BitmapChunk): void {
  out.u8(chunk.flags);
  if (chunk.node !== undefined) out.str8(chunk.node);
  if (chunk.bitmap !== undefined) out.str8(chunk.bitmap);
  if (chunk.start !== undefined) out.u32(chunk.start.granularity).u8(chunk.start.flags);
  if (chunk.bits === undefined) return;
  out.u64(chunk.bits.firstSector).u32(chunk.bits.sectors);
  if (chunk.bits.data !== undefined) out.u64(chunk.bits.data.length).raw(chunk.bits.data);
}
