/** The relay's own limits; those of what travels are in wire/limits.ts. */

const KIB = 2 ** 10;
const MIB = 2 ** 20;

/** One read of QEMU's socket: its writes come as 32 KiB and up to 64 single pages, unix sockets hold about 200 KiB. */
export const READ_BYTES = 256 * KIB;
/** A unit cut at the end of a read is kept in front of the next; more than UNIT_BYTES_MAX of stream/. */
export const CARRY_BYTES = 128 * KIB;

/** Pages with bytes of their own in one batch: 2 ms of a 1 Gbit/s link. Pages without are taken along. */
export const BATCH_HEAVY_PAGES = 64;
/** How long a page may wait for company. */
export const BATCH_WAIT_MS = 2;
/** Raw bytes are cut into frames of at most this. */
export const RAW_FRAME_BYTES = 256 * KIB;

/** Frames that the target has not handed to QEMU yet. */
export const WINDOW_FRAMES_ASKED = 16;
/** Not yet encoded for the link: at most this much waits in the codec and in front of the socket. */
export const CODEC_QUEUE_BYTES = 512 * KIB;
/** Bytes on the wire that were not acknowledged: enough for any link of a few ms. */
export const FLIGHT_BYTES_MIN = 256 * KIB;
export const FLIGHT_BYTES_MAX = 16 * MIB;

/** A socket is given this much at a time, so that a cap is smooth and a credit need not wait long. */
export const WRITE_BYTES = 64 * KIB;

export const HELLO_TIMEOUT_MS = 10_000;
export const DIAL_TIMEOUT_MS = 10_000;
/** Unfinished connections at the target; each holds a few KiB. */
export const PENDING_MAX = 32;
export const PING_MS = 1_000;
/** Nothing came, not even a ping: the link or the other host is gone. */
export const SILENT_MS = 10_000;
/** Connections of one peer do not end at the same instant. */
export const CLOSE_SKEW_MS = 100;
/** How long a last word (an abort) may take. */
export const LAST_WORD_MS = 300;

/** Compression history: 16 MiB for one connection, 4 MiB each for several. */
export const WINDOW_LOG_ONE = 24;
export const WINDOW_LOG_MANY = 22;
/** Below this rate of the link a higher level costs no time. */
export const SLOW_LINK_BYTES_PER_SECOND = 40 * MIB;

export const STATUS_LINE_BYTES_MAX = 4 * KIB;
export const STATUS_CLIENTS_MAX = 16;
