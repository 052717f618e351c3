/** The kernels' module from its file: the pure room beside it reads none. */
import { readFileSync } from "node:fs";

import { loadKernels } from "../page/kernels.ts";
import { type Kernels, PAGE_BYTES } from "../page/types.ts";

const WASM = new URL("../page/kernels.wasm", import.meta.url);

let ready: Kernels | undefined;

/** Kernels over a memory of at least so many pages of 4 KiB, all zero. */
export function openKernels({ pages }: { readonly pages: number }): Kernels {
  const kernels = ready;
  if (kernels === undefined || kernels.bytes.byteLength < pages * PAGE_BYTES)
    return loadKernels(readFileSync(WASM), { pages });
  ready = undefined;
  return kernels;
}

/**
 * Opens what is asked for later now, and touches all of it: where a page is touched first the kernel has to find and clear
 * it, which took 6 µs in a virtual machine, longer than what a relay does with a page.
 */
export function openAhead(pages: number): void {
  const kernels = openKernels({ pages });
  kernels.bytes.fill(0);
  ready = kernels;
}
