/**
 * What of a Linux kernel's file the guest's memory holds: the segments of the kernel proper, which lies packed in the
 * image that a boot loader reads. Formats: Linux, Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header"; ELF-64.
 */
import { isElf, programHeaders, PT_LOAD } from "./elf.ts";
import type { Unpack } from "./unpack.ts";

const HDRS_AT = 0x202;
const HDRS = 0x53726448;
/** Since 2.08 the header says where the packed kernel lies. */
const VERSION_MIN = 0x0208;
const HEADER_END = 0x250;
const SECTOR = 512;

const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** In the order of the file; empty where it holds no kernel that is understood. */
export function kernelSegments(image: Uint8Array, unpack: Unpack): readonly Uint8Array[] {
  const kernel = isElf(image) ? image : packedKernel(image);
  const whole = kernel === undefined || isElf(kernel) ? kernel : unpack(kernel);
  return whole === undefined ? [] : loadedSegments(whole);
}

/** The payload of a bzImage, which ends with its unpacked length. */
function packedKernel(image: Uint8Array): Uint8Array | undefined {
  if (image.length < HEADER_END) return undefined;
  const header = view(image);
  if (header.getUint32(HDRS_AT, true) !== HDRS || header.getUint16(0x206, true) < VERSION_MIN)
    return undefined;
  // 0 means 4, for the sake of very old boot loaders.
  const sectors = header.getUint8(0x1f1) || 4;
  const from = (sectors + 1) * SECTOR + header.getUint32(0x248, true);
  const to = from + header.getUint32(0x24c, true);
  return to <= image.length ? image.subarray(from, to) : undefined;
}

const loadedSegments = (elf: Uint8Array): readonly Uint8Array[] =>
  (programHeaders(elf) ?? [])
    .filter(({ type }) => type === PT_LOAD)
    .map(({ offset, size }) => elf.subarray(offset, offset + size));
