/** SHA-256 over a stopped guest's RAM, read through QEMU: equal digests on both hosts prove the copy bit for bit. */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { closeSync, constants, createReadStream, openSync, rmSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

import type { MachineSpec } from "../api/machine.ts";
import { ramBytes } from "../qemu/args.ts";
import type { QemuProcess } from "../qemu/types.ts";

const GiB = 2 ** 30;
const DUMP_TIMEOUT_MS = 120_000;
const mkfifo = promisify(execFile);

/** Guest-physical ranges that are RAM. QEMU hw/i386/pc_q35.c and pc_piix.c: where RAM is split around the PCI hole. */
export function ramRanges(
  machine: MachineSpec,
  accelerator: "kvm" | "tcg",
): { readonly start: number; readonly bytes: number }[] {
  const total = ramBytes(machine, accelerator);
  const [limit, low] = machine.spec.machine.startsWith("pc-q35")
    ? [0xb0000000, 2 * GiB]
    : [0xe0000000, 3 * GiB];
  if (total < limit) return [{ start: 0, bytes: total }];
  return [
    { start: 0, bytes: low },
    { start: 4 * GiB, bytes: total - low },
  ];
}

/** Through a pipe, not a file: a guest's memory may be larger than the disk that holds the agent's state. */
export async function memoryDigest(
  qemu: QemuProcess,
  machine: MachineSpec,
  accelerator: "kvm" | "tcg",
): Promise<string> {
  const hash = createHash("sha256");
  const pipe = join(qemu.handle.dir, "memory.pipe");
  rmSync(pipe, { force: true });
  await mkfifo("mkfifo", ["-m", "600", pipe]);
  try {
    for (const { start, bytes } of ramRanges(machine, accelerator)) {
      const reading = (async () => {
        for await (const chunk of createReadStream(pipe, { highWaterMark: 1 << 20 }))
          hash.update(chunk as Buffer);
      })();
      const args = { val: start, size: bytes, filename: pipe };
      const writing = qemu.qmp.execute("pmemsave", args, { timeoutMs: DUMP_TIMEOUT_MS });
      writing.catch(() => endReader(pipe));
      await Promise.all([reading, writing]);
    }
  } finally {
    rmSync(pipe, { force: true });
  }
  return hash.digest("hex");
}

/** A reader waits for a first writer; where QEMU never became one, an empty write lets it go. */
function endReader(pipe: string): void {
  try {
    closeSync(openSync(pipe, constants.O_WRONLY | constants.O_NONBLOCK));
  } catch {
    // Nobody waits.
  }
}
