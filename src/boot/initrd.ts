/** The files of an initial file system: a guest's memory holds each from the beginning of a page on. */
import { isCpio, readCpio } from "./cpio.ts";
import type { Unpack } from "./unpack.ts";

/**
 * Archives lie one after the other, the last one packed (the processor's microcode comes first and is not). What is not
 * understood ends it: the files before it are still the guest's. Format: Linux,
 * Documentation/driver-api/early-userspace/buffer-format.rst.
 */
export function initrdFiles(initrd: Uint8Array, unpack: Unpack): readonly Uint8Array[] {
  const files: Uint8Array[] = [];
  for (let at = 0; at < initrd.length;) {
    if (initrd[at] === 0) {
      at += 1;
      continue;
    }
    const rest = initrd.subarray(at);
    if (!isCpio(rest)) {
      const whole = unpack(rest);
      return whole === undefined ? files : [...files, ...initrdFiles(whole, () => undefined)];
    }
    try {
      const { listing, end } = readCpio(rest);
      files.push(...listing.map(({ data }) => data));
      at += end;
    } catch {
      return files;
    }
  }
  return files;
}
