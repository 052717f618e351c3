/** The relay's own limits; those of what travels are in wire/limits.ts. */

const KIB = 2 ** 10;
const MIB = 2 ** 20;

/** One read of QEMU's socket: its writes come as 32 KiB and up to 64 single pages, unix sockets hold about 200 KiB. */
export const READ_BYTES = 256 * KIB;
/** A unit cut at the end of a read is kept in front of the next; more than UNIT_BYTES_MAX of stream/. */
export const CARRY_BYTES = 128 * KIB;

/** Pages with bytes of their own in one batch: 2 ms of a 1 Gbit/s link. Pages without are taken along. */
export const BATCH_HEAVY_PAGES = 64;
/**
 * Pages of a post-copy that wait in the relay at most: several times what QEMU's socket holds (about 200 KiB), which is what
 * has to be read to get at a page that was asked for.
 */
export const BACKLOG_PAGES = 1024;
/** Pages that nobody asked for travel in small batches, a quarter of what may be under way: one that is asked for waits behind. */
export const PUSHED_BATCH_PAGES_MIN = 4;
export const PUSHED_BATCH_PAGES_MAX = 64;
/** Pages asked for and remembered as such: those beyond come all the same, but in QEMU's order. */
export const WANTED_PAGES_MAX = 65_536;
/** How long a page may wait for company. */
export const BATCH_WAIT_MS = 2;
/** Raw bytes are cut into frames of at most this. */
export const RAW_FRAME_BYTES = 256 * KIB;

/** Frames that the target has not handed to QEMU yet: 16 ms of a link of 1 Gbit/s, after compression. */
export const WINDOW_FRAMES_ASKED = 32;
/** Not yet encoded for the link: at most this much waits in the codec and in front of the socket. */
export const CODEC_QUEUE_BYTES = 512 * KIB;
/** A target on a busy host takes this long to work off a frame, however near it is. */
export const FLIGHT_MS_MIN = 16;
/** Bytes on the wire that were not acknowledged: enough for any link of a few ms. */
export const FLIGHT_BYTES_MIN = 256 * KIB;
export const FLIGHT_BYTES_MAX = 16 * MIB;
/** Under a cap no more waits than it lets through in this time, so that an end or a new cap is soon felt. */
export const CAP_QUEUE_MS = 250;
/** While pages are asked for no more is under way than the link carries in a round trip and this much longer. */
export const PROMPT_QUEUE_MS = 2;
export const PROMPT_FLIGHT_BYTES_MIN = 96 * KIB;
/** So long after a request the next one is expected. */
export const PROMPT_MS = 1_000;
/** And no more than one batch is being coded. */
export const PROMPT_CODEC_QUEUE_BYTES = 64 * KIB;
/**
 * Nor more frames: pages the target knows weigh nothing on the link, but QEMU places each of them (some µs) before it gets
 * to the one that is waited for. With 6 of 64 pages an idle server's guest waited 8 ms a page, with 26 it was 12, with 3
 * as with 6 and all took a tenth longer.
 */
export const PROMPT_FRAMES_MAX = 6;

/** A socket is given this much at a time, so that a cap is smooth and a credit need not wait long. */
export const WRITE_BYTES = 64 * KIB;
/** With a cap, what it lets through in this time, so that no second is above it and no silence looks like an end. */
export const WRITE_CAPPED_MS = 50;
/** But not less: segments have about this much. */
export const WRITE_BYTES_MIN = 1400;

export const HELLO_TIMEOUT_MS = 10_000;
export const DIAL_TIMEOUT_MS = 10_000;
/** Who starts a relay calls it within seconds. One that nobody calls, neither peer nor QEMU, was forgotten. */
export const CALLED_TIMEOUT_MS = 120_000;
/** Unfinished connections at the target; each holds a few KiB. */
export const PENDING_MAX = 32;
export const PING_MS = 1_000;
/** Nothing came, not even a ping: the link or the other host is gone. */
export const SILENT_MS = 10_000;
/** Connections of one peer do not end at the same instant. */
export const CLOSE_SKEW_MS = 100;
/** How long a last word (an abort) may take. */
export const LAST_WORD_MS = 300;

/**
 * Frames outside the order (pongs, credits) that wait to be written. A peer that never reads makes no more; a correct
 * one behind a slow link has a few pings a second and connection, and no more credits than its window.
 */
export const UNSENT_FRAMES_MAX = 4096;
/** A frame that is not whole and grows slower than pings alone would make it is not coming any more. */
export const FRAME_BYTES_PER_SECOND_MIN = 1024;

/** Compression history: 4 MiB for one connection, 2 MiB each for several; the levels used here reach no further back. */
export const WINDOW_LOG_ONE = 22;
export const WINDOW_LOG_MANY = 21;
/** How often the level is thought about. */
export const LEVEL_MS = 250;

/** Of a kept store's file, read at a time: small enough that what is done with it and the next read overlap. */
export const KEPT_PIECE_PAGES = 512;
/** A store is kept only if it takes no more than this share of what is free where it goes: others live there too. */
export const KEPT_FREE_SHARE_MAX = 0.5;
/** A store is written this much after the stream's end: until then the guest may be paused for its hand-over. */
export const KEEP_AFTER_MS = 500;

export const STATUS_LINE_BYTES_MAX = 4 * KIB;
export const STATUS_CLIENTS_MAX = 16;
