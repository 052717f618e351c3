/** Bytes as the pure rooms want them: their SHA-256, and a copy that is one. */
import { createHash } from "node:crypto";

import type { Sha256 } from "../wire/frame.ts";

export const sha256: Sha256 = (parts) => {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
};

/** A Buffer's `slice` is a view where a Uint8Array's is a copy; the pure rooms mean the latter. */
export const plainBytes = (buffer: Uint8Array): Uint8Array =>
  new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
