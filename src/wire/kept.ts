/**
 * How a page store lies in a file between two migrations. Decides which files are one; where they lie, and when one is
 * written or read, is left to relay/kept-store.ts.
 *
 *   0         4         8       12     16     20         28           36      40        40 + used
 *   +---------+---------+-------+------+------+----------+------------+-------+---------+----------+----------
 *   | "GDWS"  | version | slots | used | hand | store id | operations | check | flags   | prints   | contents
 *   +---------+---------+-------+------+------+----------+------------+-------+---------+----------+----------
 *     u32       u32       u32     u32    u32    u64        u64          u32     used      used × 8   used × 4096
 *
 * Numbers are big-endian. Flags: one byte for each used slot, as in slot-clock.ts. Contents: of the used slots, which are the first
 * ones. Prints: the first half of each content's sums (page/types.ts), by which somebody who has only these can tell what of
 * a guest is known already. The check is CRC-32 over the header with check = 0, then all that follows: it finds what an interrupted machine
 * or a failing memory did to the file. Who may write it could as well send pages, so it need not stand against more.
 */
import { PAGE_BYTES } from "../page/types.ts";
import type { Crc32 } from "./frame.ts";
import { SLOT_FLAGS_MAX } from "./slot-clock.ts";
import type { KeptState } from "./store.ts";

export const KEPT_HEADER_BYTES = 40;
const CHECK_AT = 36;
const MAGIC = 0x47445753;
export const KEPT_VERSION = 1;

export const PRINT_BYTES = 8;
/** Where the contents begin. */
export const keptContentsAt = (used: number): number => KEPT_HEADER_BYTES + used * (1 + PRINT_BYTES);
export const keptFileBytes = (used: number): number => keptContentsAt(used) + used * PAGE_BYTES;

/** What a header says; `flags` and prints follow it in the file. */
export type KeptHeader = Omit<KeptState, "flags"> & { readonly check: number };

export function encodeKeptHeader({ slots, used, hand, id, operations, check }: KeptHeader): Uint8Array {
  const bytes = new Uint8Array(KEPT_HEADER_BYTES);
  const out = new DataView(bytes.buffer);
  out.setUint32(0, MAGIC);
  out.setUint32(4, KEPT_VERSION);
  out.setUint32(8, slots);
  out.setUint32(12, used);
  out.setUint32(16, hand);
  out.setBigUint64(20, id);
  out.setBigUint64(28, operations);
  out.setUint32(CHECK_AT, check);
  return bytes;
}

/** The sum that the check has to be, begun; it goes on over flags, prints and contents. */
export const keptCheckBegun = (header: Omit<KeptHeader, "check">, crc32: Crc32): number =>
  crc32(encodeKeptHeader({ ...header, check: 0 }));

/** The header of a file of `fileBytes` for a store of `slots`; else, in words, why it is none. */
export function readKeptHeader(bytes: Uint8Array, fileBytes: number, slots: number): KeptHeader | string {
  if (bytes.byteLength < KEPT_HEADER_BYTES) return "the file is too short";
  const got = new DataView(bytes.buffer, bytes.byteOffset, KEPT_HEADER_BYTES);
  if (got.getUint32(0) !== MAGIC) return "the file is no page store";
  const version = got.getUint32(4);
  if (version !== KEPT_VERSION) return `the file has version ${version}, this build reads ${KEPT_VERSION}`;
  const header = {
    slots: got.getUint32(8),
    used: got.getUint32(12),
    hand: got.getUint32(16),
    id: got.getBigUint64(20),
    operations: got.getBigUint64(28),
    check: got.getUint32(CHECK_AT),
  };
  if (header.slots !== slots) return `the file is of ${header.slots} slots, this store has ${slots}`;
  const isSound =
    header.used <= slots &&
    // The hand moves once every slot is used.
    (header.used === slots ? header.hand < slots : header.hand === 0) &&
    header.id !== 0n &&
    header.operations <= BigInt(Number.MAX_SAFE_INTEGER);
  if (!isSound) return "the file's header cannot be";
  if (fileBytes !== keptFileBytes(header.used)) return "the file has another length than its header says";
  return header;
}

export const areSlotFlags = (flags: Uint8Array): boolean => flags.every((flag) => flag <= SLOT_FLAGS_MAX);
