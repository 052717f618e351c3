/** The kernels' module from its file: the pure room beside it reads none. */
import { readFileSync } from "node:fs";

import { kernelsModule, loadKernels } from "../page/kernels.ts";
import type { Kernels } from "../page/types.ts";

const WASM = new URL("../page/kernels.wasm", import.meta.url);

let module: WebAssembly.Module | undefined;

/** Kernels over a memory of at least so many pages of 4 KiB, all zero. */
export function openKernels({ pages }: { readonly pages: number }): Kernels {
  module ??= kernelsModule(readFileSync(WASM));
  return loadKernels(module, { pages });
}
