/** Every limit of the stream room: what a stream may make a reader hold. Beyond one, `STREAM_LIMIT`. */

const MIB = 2 ** 20;

/** The target's page on x86; other targets say theirs in the configuration. */
export const PAGE_BYTES_DEFAULT = 4096;
/** Flags of a page record reach 0x200, so a page has at least 1 KiB; aarch64's largest has 64 KiB. */
export const PAGE_BITS_MIN = 10;
export const PAGE_BITS_MAX = 16;

export const MACHINE_NAME_BYTES_MAX = 255;
export const CAPABILITIES_MAX = 64;
/** QEMU has three iterable handlers that can be parsed; a stream of more names another VM's nightmare. */
export const SECTIONS_MAX = 16;
export const BLOCKS_MAX = 4096;
/** 64 TiB: more than any x86 host can address today. */
export const RAM_BYTES_MAX = 2 ** 46;

/** Device state of a post-copy; a small q35 machine has 120 KiB, a GPU with a large framebuffer tens of MiB. */
export const PACKAGE_BYTES_MAX = 256 * MIB;
/** QEMU sends 1 KiB and refuses more than ten times that. */
export const BITMAP_DATA_BYTES_MAX = 0x1_0000;
export const VMDESC_BYTES_MAX = 16 * MIB;
export const VMDESC_DEPTH_MAX = 64;
/** Device state that is split into devices; more is passed on unsplit. */
export const DEVICE_STATE_BYTES_MAX = 256 * MIB;

/** The source's own limit. */
export const RETURN_PAYLOAD_BYTES_MAX = 512;
/** One bit a page: 4 TiB in one block. */
export const RECV_BITMAP_BYTES_MAX = 128 * MIB;

/**
 * A buffer with this many unread bytes always lets the parser go on: nothing that it wants whole is longer. The longest
 * are a page of 64 KiB with its name, a chunk of a dirty bitmap with two names, and a command.
 */
export const UNIT_BYTES_MAX = 0x1_2000;
