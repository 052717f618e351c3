/**
 * Compiles the page kernels: `node scripts/build-kernels.mjs` writes src/page/kernels.wasm, which is committed so that a
 * fresh machine compiles nothing. A test compiles again and compares.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { main } from "assemblyscript/asc";

const ROOT = join(import.meta.dirname, "..");
const SOURCE = "../src/page/assembly/kernels.ts";
export const KERNELS_WASM = join(ROOT, "src/page/kernels.wasm");

/** An imported memory may be smaller than this, never larger: all that 32-bit positions reach. */
const MEMORY_PAGES_MAX = 65_536;

/** The compiler adds `.ts` to what is imported; here every import has it already. */
function readFile(name, baseDir) {
  const file = join(baseDir, name.replace(/\.ts\.ts$/, ".ts"));
  return existsSync(file) ? readFileSync(file, "utf8") : null;
}

/** @returns {Promise<Uint8Array>} */
export async function compileKernels() {
  let wasm = null;
  let complaints = "";
  const { error } = await main(
    [
      join("scripts", SOURCE),
      `--baseDir=${ROOT}`,
      "--outFile=kernels.wasm",
      "-O3",
      "--converge",
      "--noAssert",
      "--runtime=stub",
      "--importMemory",
      "--initialMemory=1",
      `--maximumMemory=${MEMORY_PAGES_MAX}`,
      "--memoryBase=0",
      "--enable=simd,bulk-memory",
    ],
    {
      readFile,
      stderr: {
        write: (text) => {
          complaints += text;
        },
      },
      writeFile: (name, contents) => {
        if (name === "kernels.wasm") wasm = contents;
      },
    },
  );
  if (error !== null || wasm === null) throw new Error(`asc: ${complaints}`, { cause: error });
  return wasm;
}

if (import.meta.main) writeFileSync(KERNELS_WASM, await compileKernels());
