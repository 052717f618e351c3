/** The kernels' module from its file: the pure room beside it reads none. */
import { readFileSync } from "node:fs";

import { type KernelMemory, loadKernels } from "../page/kernels.ts";
import type { Kernels } from "../page/types.ts";

const WASM = new URL("../page/kernels.wasm", import.meta.url);

/** Kernels over a new memory of `pages` pages of 4 KiB, or over one that another thread has too. */
export const openKernels = (options: KernelMemory): Kernels => loadKernels(readFileSync(WASM), options);
