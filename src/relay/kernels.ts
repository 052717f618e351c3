/** The kernels' module from its file: the pure room beside it reads none. */
import { readFileSync } from "node:fs";

import { loadKernels } from "../page/kernels.ts";
import type { Kernels } from "../page/types.ts";

const WASM = new URL("../page/kernels.wasm", import.meta.url);

/** Kernels over a memory of at least so many pages of 4 KiB, all zero. */
export const openKernels = ({ pages }: { readonly pages: number }): Kernels =>
  loadKernels(readFileSync(WASM), { pages });
