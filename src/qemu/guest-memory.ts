/**
 * A running guest's memory, read from QEMU's process: no command, so QEMU's main loop is not held and a busy guest does
 * not make it wait (32 `pmemsave` took 0.2 s beside an emulated guest). What is read may change meanwhile.
 */
import { closeSync, openSync, readFileSync, readSync } from "node:fs";

/** Where a guest's RAM is: in this process, and of this size. */
export interface GuestRam {
  readonly pid: number;
  readonly ramBytes: number;
}

export interface GuestMemory {
  /** Fills `into` from `offset` of the RAM block. @throws when it cannot be read. */
  read(offset: number, into: Uint8Array): void;
  close(): void;
}

/** Undefined: the guest's RAM is not found there, or this user may not look. The caller closes it. */
export function openGuestMemory({ pid, ramBytes }: GuestRam): GuestMemory | undefined {
  let fd: number | undefined;
  try {
    const base = ramAt(readFileSync(`/proc/${pid}/maps`, "latin1"), ramBytes);
    if (base === undefined) return undefined;
    const file = openSync(`/proc/${pid}/mem`, "r");
    fd = file;
    const memory: GuestMemory = {
      read: (offset, into) => {
        const got = readSync(file, into, 0, into.byteLength, base + offset);
        if (got !== into.byteLength) throw new RangeError(`${got} of ${into.byteLength} bytes at ${offset}`);
      },
      close: () => closeSync(file),
    };
    memory.read(0, new Uint8Array(1));
    return memory;
  } catch {
    if (fd !== undefined) closeSync(fd);
    return undefined;
  }
}

const PAGE_BYTES = 4096;
const RUN_PAGES = 8;
/** What is read at a time. */
export const RUN_BYTES = RUN_PAGES * PAGE_BYTES;

/** Where so many runs of a RAM block begin, evenly over it: each in the middle of its part. */
export const evenly = (ramBytes: number, runs: number): number[] =>
  Array.from({ length: runs }, (_each, run) => {
    const at = Math.min(((run + 0.5) / runs) * ramBytes, Math.max(0, ramBytes - RUN_BYTES));
    return Math.floor(at / PAGE_BYTES) * PAGE_BYTES;
  });

/** A guest's runs at these offsets. Undefined: its memory cannot be seen, or it has ended. */
export function readRuns(ram: GuestRam, offsets: readonly number[]): Buffer[] | undefined {
  const memory = openGuestMemory(ram);
  try {
    return (
      memory &&
      offsets.map((offset) => {
        const run = Buffer.allocUnsafe(RUN_BYTES);
        memory.read(offset, run);
        return run;
      })
    );
  } catch {
    return undefined;
  } finally {
    memory?.close();
  }
}

/**
 * proc(5), /proc/pid/maps. QEMU maps a RAM block by itself (util/mmap-alloc.c: a guard page follows it), so its mapping has its
 * size. Undefined when none has, or more than one: then nobody knows which it is.
 */
export function ramAt(maps: string, ramBytes: number): number | undefined {
  const found = maps.split("\n").flatMap((line) => {
    const [, from, to] = /^([0-9a-f]+)-([0-9a-f]+) rw[-x][ps] /.exec(line) ?? [];
    if (from === undefined || to === undefined) return [];
    const [start, end] = [Number.parseInt(from, 16), Number.parseInt(to, 16)];
    return end - start === ramBytes ? [start] : [];
  });
  return found.length === 1 ? found[0] : undefined;
}
