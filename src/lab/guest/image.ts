/**
 * The guest's kernel and initial file systems, made once and cached by the content of everything in them. Decides what
 * a guest is made of; what it does is said on its command line (workloads.ts, spec.ts).
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";

import { CodedError } from "../../std/errors.ts";
import { writeCpio } from "./cpio.ts";
import type { CpioEntry } from "./cpio.ts";
import { insertOrder, neededLibraries } from "./elf.ts";
import { cacheDir, exists, fetchPackages, putInPlace } from "./packages.ts";
import type { PackageTree } from "./packages.ts";
import { ensurePrograms } from "./programs.ts";

export const FLAVOURS = ["base", "redis"] as const;
export type Flavour = (typeof FLAVOURS)[number];

export interface GuestFiles {
  readonly kernel: string;
  readonly initrd: Readonly<Record<Flavour, string>>;
}

/** Drivers for every device a machine spec can name. */
const MODULES = ["virtio_pci", "virtio_net", "virtio_blk", "virtio_balloon", "virtio_rng"];
const DIRECTORIES = ["bin", "dev", "lib", "lib/modules", "lib64", "proc", "sys", "tmp"];
const LIBRARY_DIRS = ["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"];
const LOADER = "ld-linux-x86-64.so.2";

const program = (path: string, data: Uint8Array): CpioEntry => ({ kind: "file", path, data, mode: 0o755 });

const incomplete = (why: string): CodedError =>
  new CodedError("TOOL_FAILED", { command: "making the guest", why });

async function modules(tree: PackageTree): Promise<CpioEntry[]> {
  const dir = join(tree.root, "lib/modules", tree.kernelRelease, "kernel");
  const paths = new Map<string, string>();
  for (const file of await readdir(dir, { recursive: true })) {
    if (file.endsWith(".ko")) paths.set(basename(file, ".ko").replaceAll("-", "_"), join(dir, file));
  }
  const read = (name: string): Uint8Array => {
    const path = paths.get(name);
    if (path === undefined) throw incomplete(`the kernel package has no module ${name}`);
    return readFileSync(path);
  };
  const order = insertOrder(MODULES, read);
  return [
    { kind: "file", path: "lib/modules/order", data: Buffer.from(`${order.join("\n")}\n`) },
    ...order.map((name): CpioEntry => ({
      kind: "file",
      path: `lib/modules/${name}.ko`,
      data: read(name),
    })),
  ];
}

async function redis(tree: PackageTree): Promise<CpioEntry[]> {
  const find = async (library: string): Promise<Uint8Array> => {
    for (const dir of LIBRARY_DIRS) {
      const path = join(tree.root, dir, library);
      if (await exists(path)) return readFile(path);
    }
    throw incomplete(`no package here has ${library}`);
  };
  const server = await readFile(join(tree.root, "usr/bin/redis-server"));
  const libraries = new Map<string, Uint8Array>();
  const visit = async (file: Uint8Array): Promise<void> => {
    for (const name of neededLibraries(file)) {
      if (libraries.has(name)) continue;
      const bytes = await find(name);
      libraries.set(name, bytes);
      await visit(bytes);
    }
  };
  await visit(server);
  libraries.set(LOADER, await find(LOADER));
  return [
    program("bin/redis-server", server),
    ...[...libraries].map(([name, data]) => program(name === LOADER ? `lib64/${name}` : `lib/${name}`, data)),
  ];
}

async function base(tree: PackageTree): Promise<CpioEntry[]> {
  const programs = await ensurePrograms();
  return [
    ...DIRECTORIES.map((path): CpioEntry => ({ kind: "directory", path })),
    // Open before the init script has mounted anything.
    { kind: "device", path: "dev/console", major: 5, minor: 1 },
    program("init", await readFile(join(import.meta.dirname, "init.sh"))),
    program("bin/busybox", await readFile(join(tree.root, "bin/busybox"))),
    { kind: "link", path: "bin/sh", target: "busybox" },
    // Not "echo": the shell has a word of that name.
    program("bin/echo-service", await readFile(programs.echo)),
    program("bin/beacon", await readFile(programs.beacon)),
    program("bin/writer", await readFile(programs.writer)),
    ...(await modules(tree)),
  ];
}

async function cached(name: string, bytes: Uint8Array): Promise<string> {
  const hash = createHash("sha256").update(bytes).digest("hex").slice(0, 12);
  const place = join(cacheDir(), `${name}-${hash}`);
  if (await exists(place)) return place;
  const making = await mkdtemp(join(cacheDir(), "making-image-"));
  try {
    await writeFile(join(making, name), bytes);
    await putInPlace(join(making, name), place);
  } finally {
    await rm(making, { recursive: true, force: true });
  }
  return place;
}

/** Kernel and initrds of the lab's guests; the first call fetches, unpacks and compiles, later ones check and return. */
export async function ensureGuest(): Promise<GuestFiles> {
  const tree = await fetchPackages();
  await mkdir(cacheDir(), { recursive: true });
  const common = await base(tree);
  return {
    kernel: join(tree.root, "boot", `vmlinuz-${tree.kernelRelease}`),
    initrd: {
      base: await cached("initrd-base", writeCpio(common)),
      redis: await cached("initrd-redis", writeCpio([...common, ...(await redis(tree))])),
    },
  };
}
