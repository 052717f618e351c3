/** What an ELF-64 file says of its segments. Format: System V ABI, "Program Header". */

const MAGIC = 0x7f454c46;
const CLASS_64 = 2;
const LITTLE_ENDIAN = 1;
const HEADER_BYTES = 64;
const PROGRAM_HEADER_BYTES = 56;

export const PT_LOAD = 1;

export interface ProgramHeader {
  readonly type: number;
  /** In the file, as `size` is. */
  readonly offset: number;
  readonly address: number;
  readonly size: number;
}

const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** 64 bits, little-endian: what x86-64 has. */
export const isElf = (bytes: Uint8Array): boolean =>
  bytes.length >= HEADER_BYTES &&
  viewOf(bytes).getUint32(0) === MAGIC &&
  bytes[4] === CLASS_64 &&
  bytes[5] === LITTLE_ENDIAN;

/** undefined: it is no such file, or its table leaves it. */
export function programHeaders(elf: Uint8Array): readonly ProgramHeader[] | undefined {
  if (!isElf(elf)) return undefined;
  const header = viewOf(elf);
  const [table, size, count] = [
    Number(header.getBigUint64(32, true)),
    header.getUint16(54, true),
    header.getUint16(56, true),
  ];
  if (size < PROGRAM_HEADER_BYTES || table + count * size > elf.length) return undefined;
  return Array.from({ length: count }, (_, index) => {
    const at = table + index * size;
    const wordAt = (offset: number): number => Number(header.getBigUint64(at + offset, true));
    return { type: header.getUint32(at, true), offset: wordAt(8), address: wordAt(16), size: wordAt(32) };
  });
}
