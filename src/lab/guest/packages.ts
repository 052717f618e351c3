/**
 * Debian packages, unpacked into a cache folder and never installed. Decides which packages and where they lie;
 * what a guest is made of is image.ts's business.
 *
 * No lock: every caller unpacks into a folder of its own, and the rename into place decides who was first. A folder
 * under its final name is therefore always complete.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { access, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

import { z } from "zod";

import { CodedError } from "../../std/errors.ts";

const run = promisify(execFile);

const DOWNLOAD_TIMEOUT_MS = 300_000;
const TOOL_TIMEOUT_MS = 60_000;
const TOOL_OUTPUT_BYTES = 4 * 2 ** 20;
/** Raise it when the layout of an unpacked tree changes. */
const LAYOUT = 1;

/** Depends on the kernel package of the day; its name is asked from apt. */
const KERNEL_META = "linux-image-cloud-amd64";
const PACKAGES = [
  "busybox-static",
  // The compiler and a C library that links statically: the guest programs run on any libc, also on the host.
  "tcc",
  "libtcc-dev",
  "musl-dev",
  "redis-server",
  "redis-tools",
  // What redis-server is linked with, down to libc; elf.ts finds a missing one when the image is made.
  "libc6",
  "libatomic1",
  "libcap2",
  "libgcc-s1",
  "libgcrypt20",
  "libgpg-error0",
  "libjemalloc2",
  "liblz4-1",
  "liblzf1",
  "liblzma5",
  "libssl3",
  "libstdc++6",
  "libsystemd0",
  "libzstd1",
] as const;

const stampSchema = z.object({ kernel: z.string(), packages: z.array(z.string()) });

export interface PackageTree {
  /** The unpacked file systems of all packages, one over the other. */
  readonly root: string;
  /** As in `uname -r`. */
  readonly kernelRelease: string;
  /** File names of the packages, with their versions. */
  readonly packages: readonly string[];
}

export function cacheDir(): string {
  const base = process.env["XDG_CACHE_HOME"];
  return join(base === undefined || base === "" ? join(homedir(), ".cache") : base, "godwit");
}

export const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

/** Puts a finished folder or file in place; somebody else's finished one is as good, and stays. */
export async function putInPlace(made: string, place: string): Promise<void> {
  try {
    await rename(made, place);
  } catch (error) {
    await rm(made, { recursive: true, force: true });
    if (!(await exists(place))) throw error;
  }
}

export async function tool(
  command: string,
  args: readonly string[],
  options: { cwd?: string; timeoutMs?: number } = {},
): Promise<string> {
  try {
    const { stdout } = await run(command, args, {
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      timeout: options.timeoutMs ?? TOOL_TIMEOUT_MS,
      maxBuffer: TOOL_OUTPUT_BYTES,
      env: { ...process.env, LC_ALL: "C" },
    });
    return stdout;
  } catch (error) {
    const failed = error as Error & { stderr?: string };
    const why = failed.stderr?.trim();
    throw new CodedError(
      "TOOL_FAILED",
      {
        command: [command, ...args.slice(0, 3)].join(" "),
        why: why === undefined || why === "" ? failed.message : why,
      },
      { cause: error },
    );
  }
}

/** apt answers E: lines when it has no package lists; only root can fetch them. */
function listsMissing(error: unknown): unknown {
  if (!(error instanceof CodedError)) return error;
  const why = String(error.details["why"]);
  if (!/No packages found|Unable to locate package|Can't select candidate|404 {2}Not Found/.test(why)) {
    return error;
  }
  return new CodedError(
    "NEEDS_ROOT",
    { what: "Fetching the list of Debian packages", command: "sudo apt-get update" },
    { cause: error },
  );
}

async function download(into: string): Promise<string> {
  const meta = await tool("apt-cache", ["depends", KERNEL_META]);
  const kernel = /Depends: (linux-image-(\S+))/.exec(meta);
  if (kernel?.[1] === undefined || kernel[2] === undefined) {
    throw new CodedError("TOOL_FAILED", {
      command: `apt-cache depends ${KERNEL_META}`,
      why: "it names no kernel package",
    });
  }
  // Sandbox user: apt would drop root for _apt, which cannot write into a private cache folder.
  await tool("apt-get", ["download", "-q", "-o", "APT::Sandbox::User=root", kernel[1], ...PACKAGES], {
    cwd: into,
    timeoutMs: DOWNLOAD_TIMEOUT_MS,
  });
  return kernel[2];
}

async function fetchInto(dir: string): Promise<void> {
  const kernel = await download(dir).catch(async (error: unknown) => {
    if (process.getuid?.() !== 0 || listsMissing(error) === error) throw listsMissing(error);
    await tool("apt-get", ["update", "-q"], { timeoutMs: DOWNLOAD_TIMEOUT_MS });
    return download(dir);
  });
  const packages = (await readdir(dir)).filter((name) => name.endsWith(".deb")).sort();
  for (const name of packages) {
    await tool("dpkg-deb", ["-x", join(dir, name), join(dir, "root")]);
    await rm(join(dir, name));
  }
  await writeFile(join(dir, "stamp.json"), JSON.stringify({ kernel, packages }, null, 2));
}

let tree: Promise<PackageTree> | undefined;

/** Unpacked packages of the guest; the first call of a user's life downloads about 35 MB, later ones read a stamp. */
export function fetchPackages(): Promise<PackageTree> {
  tree ??= fetchOnce().catch((error: unknown) => {
    tree = undefined;
    throw error;
  });
  return tree;
}

async function fetchOnce(): Promise<PackageTree> {
  const wanted = createHash("sha256")
    .update(JSON.stringify([LAYOUT, KERNEL_META, PACKAGES]))
    .digest("hex");
  const place = join(cacheDir(), `packages-${wanted.slice(0, 12)}`);
  const stamp = join(place, "stamp.json");
  if (!(await exists(stamp))) {
    await mkdir(cacheDir(), { recursive: true });
    const making = await mkdtemp(join(cacheDir(), "making-packages-"));
    try {
      await fetchInto(making);
      await putInPlace(making, place);
    } finally {
      await rm(making, { recursive: true, force: true });
    }
  }
  const { kernel, packages } = stampSchema.parse(JSON.parse(await readFile(stamp, "utf8")));
  return { root: join(place, "root"), kernelRelease: kernel, packages };
}
