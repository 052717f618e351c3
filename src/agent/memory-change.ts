/** How much of a guest's memory changes: some of its pages, summed up twice. */
import { crc32 } from "node:zlib";

import type { MachineSpec } from "../api/machine.ts";
import type { MemoryChange } from "../migration/technique-choice.ts";
import { ramBytes } from "../qemu/args.ts";
import { openGuestMemory } from "../qemu/guest-memory.ts";
import type { QemuProcess } from "../qemu/types.ts";
import { nowMs } from "./clock.ts";
import { compressedShare } from "./content-sample.ts";

const PAGE_BYTES = 4096;
/** 1024 pages in 128 runs, evenly over the guest's memory: one look takes some ms. */
const RUNS = 128;
const RUN_PAGES = 8;

/** Of what has changed so many are compressed, to see how small they get. */
const COMPRESSED_PAGES_MAX = 64;

interface Look {
  readonly atMs: number;
  readonly sums: Uint32Array;
  /** Since another look, and some of them. */
  readonly changedPages: number;
  readonly changed: readonly Buffer[];
}

export class MemoryLooks {
  readonly #pid: number;
  readonly #ramBytes: number;
  readonly #first: Look | undefined;

  /** The first look. */
  constructor(qemu: QemuProcess, machine: MachineSpec, accelerator: "kvm" | "tcg") {
    this.#pid = qemu.handle.pid;
    this.#ramBytes = ramBytes(machine, accelerator);
    this.#first = this.#look();
  }

  /** Since the first look, which was this long ago. */
  get ms(): number {
    return this.#first === undefined ? 0 : nowMs() - this.#first.atMs;
  }

  /** What has changed since the first look. Undefined: the guest's memory cannot be seen. */
  change(): MemoryChange | undefined {
    const before = this.#first;
    const now = before && this.#look(before.sums);
    if (before === undefined || now === undefined) return undefined;
    const { sums, changedPages, changed, atMs } = now;
    return {
      pages: sums.length,
      changedPages,
      ms: atMs - before.atMs,
      compressedShare: compressedShare(changed),
    };
  }

  #look(before?: Uint32Array): Look | undefined {
    const memory = openGuestMemory(this.#pid, this.#ramBytes);
    if (memory === undefined) return undefined;
    try {
      const atMs = nowMs();
      const sums = new Uint32Array(RUNS * RUN_PAGES);
      const run = Buffer.allocUnsafe(RUN_PAGES * PAGE_BYTES);
      const changed: Buffer[] = [];
      let changedPages = 0;
      const last = Math.max(0, Math.floor(this.#ramBytes / PAGE_BYTES) - RUN_PAGES);
      for (let at = 0; at < RUNS; at += 1) {
        memory.read(Math.floor((at / RUNS) * last) * PAGE_BYTES, run);
        for (let page = 0; page < RUN_PAGES; page += 1) {
          const bytes = run.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES);
          const index = at * RUN_PAGES + page;
          const sum = crc32(bytes);
          sums[index] = sum;
          if (before === undefined || before[index] === sum) continue;
          changedPages += 1;
          if (changed.length < COMPRESSED_PAGES_MAX) changed.push(Buffer.from(bytes));
        }
      }
      return { atMs, sums, changedPages, changed };
    } catch {
      return undefined; // it has ended
    } finally {
      memory.close();
    }
  }
}
