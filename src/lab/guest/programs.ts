/**
 * Compiles the C programs of the guest, and those that run beside it (probe, delay), into the cache: static, so that one binary
 * runs in the guest and in any client's place. Compiled again only when a source or the compiler changed.
 */
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { join } from "node:path";

import { cacheDir, exists, fetchPackages, putInPlace, tool } from "./packages.ts";
import type { PackageTree } from "./packages.ts";

const SOURCES = join(import.meta.dirname, "programs");
const NAMES = ["echo", "beacon", "writer", "probe", "delay"] as const;
type ProgramName = (typeof NAMES)[number];

/** Path of each compiled program. */
export type Programs = Readonly<Record<ProgramName, string>>;

const TCC = "usr/lib/x86_64-linux-gnu/tcc";
const MUSL = "usr/lib/x86_64-linux-musl";

async function compile(tree: PackageTree, name: ProgramName, output: string): Promise<void> {
  const at = (path: string): string => join(tree.root, path);
  await tool(at("usr/bin/tcc"), [
    `-B${at(TCC)}`,
    "-nostdinc",
    "-nostdlib",
    "-static",
    `-I${at(`${TCC}/include`)}`,
    `-I${at("usr/include/x86_64-linux-musl")}`,
    at(`${MUSL}/crt1.o`),
    join(SOURCES, `${name}.c`),
    at(`${MUSL}/libc.a`),
    at(`${TCC}/libtcc1.a`),
    "-o",
    output,
  ]);
}

export async function ensurePrograms(): Promise<Programs> {
  const tree = await fetchPackages();
  const hash = createHash("sha256").update(JSON.stringify(tree.packages));
  for (const file of ["service.h", ...NAMES.map((name) => `${name}.c`)]) {
    hash.update(await readFile(join(SOURCES, file)));
  }
  const place = join(cacheDir(), `programs-${hash.digest("hex").slice(0, 12)}`);
  if (!(await exists(place))) {
    await mkdir(cacheDir(), { recursive: true });
    const making = await mkdtemp(join(cacheDir(), "making-programs-"));
    try {
      for (const name of NAMES) await compile(tree, name, join(making, name));
      await putInPlace(making, place);
    } finally {
      await rm(making, { recursive: true, force: true });
    }
  }
  return Object.fromEntries(NAMES.map((name) => [name, join(place, name)])) as Record<ProgramName, string>;
}
