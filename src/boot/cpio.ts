/**
 * Reads the "newc" cpio archive that Linux unpacks as its initial file system. Format: Linux,
 * Documentation/driver-api/early-userspace/buffer-format.rst.
 */

const MAGIC = "070701";
/** The same with checksums, which nobody checks. */
const MAGIC_CRC = "070702";
const HEADER_BYTES = 110;
const TRAILER = "TRAILER!!!";

const padding = (length: number): number => (4 - (length % 4)) % 4;
const latin1 = new TextDecoder("latin1");
const utf8 = new TextDecoder();

export interface CpioListing {
  readonly path: string;
  readonly mode: number;
  readonly data: Uint8Array;
}

export const isCpio = (bytes: Uint8Array): boolean =>
  [MAGIC, MAGIC_CRC].includes(latin1.decode(bytes.subarray(0, MAGIC.length)));

/** The archive at the beginning of `bytes`, and where it ends: others may follow. @throws RangeError on anything else. */
export function readCpio(bytes: Uint8Array): {
  readonly listing: readonly CpioListing[];
  readonly end: number;
} {
  const take = (from: number, length: number): Uint8Array => {
    if (from + length > bytes.length) throw new RangeError(`cpio: cut off at byte ${bytes.length}`);
    return bytes.subarray(from, from + length);
  };
  const listing: CpioListing[] = [];
  for (let at = 0; ;) {
    const header = take(at, HEADER_BYTES);
    if (!isCpio(header)) throw new RangeError(`cpio: no header at byte ${at}`);
    const text = latin1.decode(header);
    const field = (index: number): number => Number.parseInt(text.slice(6 + index * 8, 14 + index * 8), 16);
    const [mode, size, nameSize] = [field(1), field(6), field(11)];
    if (!(mode >= 0 && size >= 0 && nameSize > 0)) throw new RangeError(`cpio: bad header at byte ${at}`);
    const path = utf8.decode(take(at + HEADER_BYTES, nameSize - 1));
    const dataAt = at + HEADER_BYTES + nameSize + padding(HEADER_BYTES + nameSize);
    const end = dataAt + size + padding(size);
    if (path === TRAILER) return { listing, end: Math.min(end, bytes.length) };
    listing.push({ path, mode, data: take(dataAt, size) });
    at = end;
  }
}
