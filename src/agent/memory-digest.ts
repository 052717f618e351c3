/** SHA-256 over a stopped guest's RAM, read through QEMU: equal digests on both hosts prove the copy bit for bit. */
import { createHash } from "node:crypto";
import { createReadStream, rmSync } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";

import { type MachineSpec, memoryBytes } from "../api/machine.ts";
import type { QemuProcess } from "../qemu/types.ts";

const GiB = 2 ** 30;
const DUMP_TIMEOUT_MS = 120_000;

/** Guest-physical ranges that are RAM. QEMU hw/i386/pc_q35.c and pc_piix.c: where RAM is split around the PCI hole. */
export function ramRanges(machine: MachineSpec): { readonly start: number; readonly bytes: number }[] {
  const total = memoryBytes(machine);
  const [limit, low] = machine.spec.machine.startsWith("pc-q35")
    ? [0xb0000000, 2 * GiB]
    : [0xe0000000, 3 * GiB];
  if (total < limit) return [{ start: 0, bytes: total }];
  return [
    { start: 0, bytes: low },
    { start: 4 * GiB, bytes: total - low },
  ];
}

export async function memoryDigest(qemu: QemuProcess, machine: MachineSpec): Promise<string> {
  const hash = createHash("sha256");
  const file = join(qemu.handle.dir, "memory.dump");
  try {
    for (const { start, bytes } of ramRanges(machine)) {
      await qemu.qmp.execute(
        "pmemsave",
        { val: start, size: bytes, filename: file },
        { timeoutMs: DUMP_TIMEOUT_MS },
      );
      await pipeline(createReadStream(file, { highWaterMark: 1 << 20 }), hash, { end: false });
    }
  } finally {
    rmSync(file, { force: true });
  }
  return hash.digest("hex");
}
