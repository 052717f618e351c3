/**
 * What a guest's memory is likely to hold of the files it was started from, page by page. Both hosts have these files: QEMU
 * needs them at both. Linux keeps
 *
 *   - the kernel's segments where they were loaded; some pages of code were patched since,
 *   - each file of the initial file system in pages of its own,
 *   - the image it was unpacked from in pages that nobody has needed yet: compressed, so that no codec makes it smaller.
 *
 * Jo et al. fetch pages of the page cache from the storage that both hosts share instead of sending them (Efficient Live
 * Migration of Virtual Machines Using Shared Storage, VEE 2013); this does it by content, without asking the guest.
 */
import { PAGE_BYTES } from "../page/types.ts";
import { initrdFiles } from "./initrd.ts";
import { kernelSegments } from "./kernel.ts";
import type { Unpack } from "./unpack.ts";

/** Their bytes; none where the guest has no such file. */
export interface BootFiles {
  readonly kernel: Uint8Array;
  readonly initrd: Uint8Array;
}

/** In the order of their worth; pages of zeros left out, repeated ones not. Whole pages are views of what was handed in. */
export function* bootPages({ kernel, initrd }: BootFiles, unpack: Unpack): Generator<Uint8Array> {
  const files = [kernel, ...initrdFiles(initrd, unpack), ...kernelSegments(kernel, unpack)];
  for (const file of files) yield* pagesOf(file);
}

function* pagesOf(file: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < file.length; at += PAGE_BYTES) {
    const page = file.subarray(at, at + PAGE_BYTES);
    if (page.every((byte) => byte === 0)) continue;
    if (page.length === PAGE_BYTES) yield page;
    else yield Uint8Array.from({ length: PAGE_BYTES }, (_, index) => page[index] ?? 0);
  }
}
