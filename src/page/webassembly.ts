/** The little of WebAssembly's JavaScript interface that is used here: TypeScript has it only with the browser's library. */
declare global {
  namespace WebAssembly {
    interface Memory {
      readonly buffer: ArrayBuffer;
    }
    interface Instance {
      readonly exports: Readonly<Record<string, unknown>>;
    }
    type Module = object;
    const Memory: new (size: { initial: number; maximum: number }) => Memory;
    const Module: new (bytes: Uint8Array<ArrayBuffer>) => Module;
    const Instance: new (module: Module, imports: object) => Instance;
  }
}

/** What the kernels' module asks for. */
export interface KernelImports {
  readonly env: { readonly memory: WebAssembly.Memory };
}
