/**
 * Every limit of the wire, in one place. What arrives is compared with these before anything is kept for it; the
 * relations between them are asserted by limits.test.ts.
 */
import { PAGE_BYTES } from "../page/types.ts";

const MIB = 2 ** 20;

/** A batch is decided, checked and delivered as one: 1 MiB of guest memory, about 8 ms of a 1 Gbit/s link. */
export const BATCH_PAGES_MAX = 256;
export const BATCH_HEADER_BYTES = 20;
export const BATCH_DIGEST_BYTES = 16;
/** Columns are filled up to it, so that literals lie aligned in a frame as they do in memory. */
export const BATCH_ALIGN_BYTES = 16;
/** At most, per page: its op 1, a run of its own in the places 9 (count 2, block 2, page 5), slot 5, length 2. */
export const BATCH_PAGE_COLUMN_BYTES_MAX = 17;
export const BATCH_BYTES_MAX =
  BATCH_HEADER_BYTES +
  BATCH_PAGES_MAX * (BATCH_PAGE_COLUMN_BYTES_MAX + PAGE_BYTES) +
  BATCH_ALIGN_BYTES +
  BATCH_DIGEST_BYTES;

/** 1 MiB, and room for the columns of a batch of nothing but literals. */
export const FRAME_PAYLOAD_BYTES_MAX = MIB + 8 * 2 ** 10;
export const FRAME_NUMBER_MAX = 2 ** 32 - 1;
/** An abort's sentence, in bytes of UTF-8. */
export const ABORT_SENTENCE_BYTES_MAX = 1024;
/** Codes are those of the error catalogue. */
export const ABORT_CODE_BYTES_MAX = 64;

/** Frames that arrived before one with a lower number; the sender never has more than these under way. */
export const WINDOW_FRAMES = 32;
/** With fewer, a sender that keeps some for what must not wait would never begin. */
export const WINDOW_FRAMES_MIN = 8;
export const STRIPES_MAX = 16;

/** Block names in QEMU's stream carry their length in one byte. */
export const NAME_BYTES_MAX = 255;
export const BLOCKS_MAX = 4096;
/** Guests that share one page store at the same time. */
export const VMS_MAX = 256;
/** 4 TiB of one guest; keeps every page number, and twice it, inside 31 bits. */
export const BLOCK_PAGES_MAX = 2 ** 30;

export const STORE_BYTES_DEFAULT = 96 * MIB;
export const STORE_SLOTS_DEFAULT = STORE_BYTES_DEFAULT / PAGE_BYTES;
/** A WebAssembly memory ends at 4 GiB. */
export const STORE_SLOTS_MAX = 2 ** 20;

/** What a relay may hold besides one hundredth of the guest's memory. */
export const RELAY_BYTES_MAX = 256 * MIB;

/** A longest ULEB128 here holds 32 bits. */
export const ULEB_BYTES_MAX = 5;
