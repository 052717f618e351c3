/**
 * The kernels' WebAssembly module, in AssemblyScript: what page/types.ts promises, exported under the same names. Only
 * raw positions and SIMD: no allocation and no static data, so that the whole memory belongs to the caller. Positions are the caller's and trusted; deltas are a peer's and are not.
 * Built by scripts/build-kernels.mjs.
 */
export { copy, equal, isZero } from "./scan.ts";
export { deltaDecode, deltaEncode } from "./delta.ts";
export { digest, features, sums } from "./hash.ts";
export { wordClass } from "./word-class.ts";
