/**
 * What this host's QEMU can do, found out by asking it: a QEMU without a machine is started and questioned.
 * Whether the answers are good enough for a migration is check.ts's business.
 */
import { accessSync, constants, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { Qmp } from "../qmp/types.ts";
import { CodedError } from "../std/errors.ts";
import { qmpArgs } from "./args.ts";
import { launch, logTail } from "./launch.ts";
import type { QemuFacts } from "./types.ts";
import { isSupported } from "./version.ts";

export const DEFAULT_BINARY = "qemu-system-x86_64";
const PROBE_TIMEOUT_MS = 20_000;
/** Of multifd, those this product speaks of. */
const COMPRESSIONS = ["none", "zlib", "zstd"];

export interface ProbeOptions {
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
}

/** @throws CodedError QEMU_MISSING, QEMU_TOO_OLD, QEMU_EXITED, QMP_TIMEOUT. */
export function probeQemu(binary: string = DEFAULT_BINARY, options: ProbeOptions = {}): Promise<QemuFacts> {
  return asking(binary, [], options, async (qmp) => {
    const { version } = qmp;
    if (!isSupported(version)) throw new CodedError("QEMU_TOO_OLD", { version: version.text });
    const machines = await qmp.execute("query-machines", {});
    const cpus = await qmp.execute("query-cpu-definitions", {});
    const capabilities = await qmp.execute("query-migrate-capabilities", {});
    return {
      binary,
      version: version.text,
      accelerators: accelerators(hostVirtualisation()),
      machines: machines.map((machine) => machine.name).filter((name) => name !== "none"),
      cpus: cpus.map((cpu) => cpu.name),
      capabilities: capabilities.map((capability) => capability.capability),
      compressions: await compressions(qmp),
    };
  });
}

/** A QEMU built without a library refuses its name. */
async function compressions(qmp: Qmp): Promise<string[]> {
  const found: string[] = [];
  for (const name of COMPRESSIONS) {
    const refused = await qmp
      .execute("migrate-set-parameters", { "multifd-compression": name })
      .then(() => false)
      .catch((error: unknown) => {
        if (error instanceof CodedError && error.code === "QMP_REFUSED") return true;
        throw error;
      });
    if (!refused) found.push(name);
  }
  return found;
}

/** Why the second half of a post-copy migration cannot arrive on this host; empty when it can. */
export function postCopyBlocker(
  binary: string = DEFAULT_BINARY,
  options: ProbeOptions = {},
): Promise<string> {
  // QEMU looks at userfaultfd only where a migration is going to arrive.
  return asking(binary, ["-incoming", "defer"], options, async (qmp, log) => {
    const capabilities = [{ capability: "postcopy-ram", state: true }];
    try {
      await qmp.execute("migrate-set-capabilities", { capabilities });
      return "";
    } catch (error) {
      if (!(error instanceof CodedError) || error.code !== "QMP_REFUSED") throw error;
      // The refusal says that it is not possible; the reason is in what QEMU printed.
      return `${String(error.details["desc"])} (${await logTail(log)})`;
    }
  });
}

export interface HostVirtualisation {
  /** /dev/kvm opens for reading and writing. */
  readonly deviceOpens: boolean;
  /** The text of /proc/cpuinfo. */
  readonly cpuinfo: string;
}

/** KVM needs both: see docs/decisions/0001-when-kvm-is-usable.md. */
export function accelerators(host: HostVirtualisation): ("kvm" | "tcg")[] {
  const hardware = /^flags\s*:.*\b(vmx|svm)\b/m.test(host.cpuinfo);
  return host.deviceOpens && hardware ? ["kvm", "tcg"] : ["tcg"];
}

export function hostVirtualisation(): HostVirtualisation {
  let deviceOpens = true;
  try {
    accessSync("/dev/kvm", constants.R_OK | constants.W_OK);
  } catch {
    deviceOpens = false;
  }
  return { deviceOpens, cpuinfo: readFileSync("/proc/cpuinfo", "utf8") };
}

/** Starts a QEMU without a machine, asks, and ends it whatever happens. */
async function asking<T>(
  binary: string,
  args: readonly string[],
  options: ProbeOptions,
  ask: (qmp: Qmp, log: string) => Promise<T>,
): Promise<T> {
  const dir = mkdtempSync(join(tmpdir(), "godwit-probe-"));
  try {
    const qmpSocket = join(dir, "qmp.sock");
    const log = join(dir, "qemu.log");
    const base = ["-nodefaults", "-no-user-config", "-display", "none", "-machine", "none,accel=tcg"];
    const { pid, qmp, ended } = await launch({
      timeoutMs: PROBE_TIMEOUT_MS,
      ...options,
      binary,
      args: [...base, ...args, ...qmpArgs(qmpSocket)],
      vm: "the probe",
      qmpSocket,
      log,
    });
    try {
      return await ask(qmp, log);
    } finally {
      await qmp[Symbol.asyncDispose]();
      endProbe(pid);
      await ended;
    }
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** It is our child and not yet collected, so its pid is still its own. */
function endProbe(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
