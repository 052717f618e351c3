/** Bytes as the pure rooms want them: their checks, and a view that is no Buffer. */
import { createHash } from "node:crypto";
import { crc32 as zlibCrc32 } from "node:zlib";

import type { Crc32 } from "../wire/frame.ts";
import type { Sha256 } from "../wire/hello.ts";

export const sha256: Sha256 = (parts) => {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
};

export const crc32: Crc32 = (bytes, before = 0) => zlibCrc32(bytes, before);

/** A Buffer's `slice` is a view where a Uint8Array's is a copy; the pure rooms mean the latter. */
export const plainBytes = (buffer: Uint8Array): Uint8Array =>
  new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
