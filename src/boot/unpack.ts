/** Unpacks what Linux packs its kernel and initial file systems in. Decides by the first bytes alone. */
import { spawnSync } from "node:child_process";
import { gunzipSync, zstdDecompressSync } from "node:zlib";

import { LZ4_LEGACY, unpackLz4Legacy } from "./lz4.ts";

/** undefined: it is not packed in any way that is known here. */
export type Unpack = (packed: Uint8Array) => Uint8Array | undefined;

/** Several times the largest kernel or initial file system of a distribution. */
export const UNPACKED_BYTES_MAX = 512 * 2 ** 20;
/** A bzImage appends the unpacked length, which is no part of the frame. gzip has it inside. */
const APPENDED_BYTES = 4;
const XZ_TIMEOUT_MS = 30_000;

interface Packing {
  readonly magic: readonly number[];
  readonly unpack: (packed: Uint8Array, bytesMax: number) => Uint8Array;
}

const withoutAppended =
  (unpack: Packing["unpack"]): Packing["unpack"] =>
  (packed, bytesMax) => {
    try {
      return unpack(packed, bytesMax);
    } catch {
      return unpack(packed.subarray(0, -APPENDED_BYTES), bytesMax);
    }
  };

/** Debian's package of this name is on nearly every host; without it the kernel's own pages are not known. */
function unpackXz(packed: Uint8Array, maxBuffer: number): Uint8Array {
  const { status, stdout, error } = spawnSync("xz", ["--decompress", "--stdout", "--single-stream"], {
    input: packed,
    maxBuffer,
    timeout: XZ_TIMEOUT_MS,
    stdio: ["pipe", "pipe", "ignore"],
  });
  if (status !== 0) throw error ?? new RangeError("xz: not a whole stream");
  return stdout;
}

const PACKINGS: readonly Packing[] = [
  { magic: LZ4_LEGACY, unpack: unpackLz4Legacy },
  { magic: [0x1f, 0x8b], unpack: (packed, maxOutputLength) => gunzipSync(packed, { maxOutputLength }) },
  {
    magic: [0x28, 0xb5, 0x2f, 0xfd],
    unpack: withoutAppended((packed, maxOutputLength) => zstdDecompressSync(packed, { maxOutputLength })),
  },
  { magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00], unpack: unpackXz },
];

/** Never throws: what is damaged, too long or packed otherwise is as good as not there. */
export const unpack: Unpack = (packed) => {
  const packing = PACKINGS.find(({ magic }) => magic.every((byte, at) => packed[at] === byte));
  try {
    return packing?.unpack(packed, UNPACKED_BYTES_MAX);
  } catch {
    return undefined;
  }
};
