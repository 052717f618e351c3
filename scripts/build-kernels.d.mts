/** Types of build-kernels.mjs. */
export declare const KERNELS_WASM: string;
export declare function compileKernels(): Promise<Uint8Array>;
