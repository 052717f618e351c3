/** The kernels' module from its file: the pure room beside it reads none. */
import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";

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
 * V8 takes new memory for pressure and collects what is left of older; asked to (`gc`) it would go on to collect at every
 * turn, since it then expects the heap to stay as small.
 */
const COLLECTED_MS = 300;

/**
 * Opens what is asked for later now, and touches all of it: where a page is touched first the kernel has to find and clear
 * it, which took 6 µs in a virtual machine, longer than what a relay does with a page. Not touched once `signal` says so.
 */
export async function openAhead(pages: number, signal: AbortSignal): Promise<void> {
  const kernels = openKernels({ pages });
  ready = kernels;
  await delay(COLLECTED_MS, undefined, { signal }).catch(() => {});
  if (!signal.aborted) kernels.bytes.fill(0);
}
