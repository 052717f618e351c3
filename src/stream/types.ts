/**
 * What is in QEMU's migration stream, and the handler a parser calls. The words are QEMU's; the layout is in
 * QEMU's migration/savevm.c, ram.c and block-dirty-bitmap.c, the same from 7.2 to 10.0.
 */

export type SectionType = "start" | "part" | "end";
export const SECTION_BYTES = { start: 1, part: 2, end: 3 } as const satisfies Record<SectionType, number>;

export type SectionBegin =
  | {
      readonly type: "start";
      readonly id: number;
      readonly idstr: string;
      readonly instance: number;
      readonly version: number;
    }
  | { readonly type: "part" | "end"; readonly id: number };

export interface RamBlock {
  readonly name: string;
  /** Bytes in use; pages lie below it. */
  readonly usedBytes: number;
  /** The block's host page when the stream names one: huge pages, with post-copy only. */
  readonly hostPageBytes?: number;
}

export type ConfigurationPart =
  | { readonly name: "configuration/target-page-bits"; readonly version: number; readonly bits: number }
  | {
      readonly name: "configuration/capabilities";
      readonly version: number;
      readonly capabilities: readonly string[];
    }
  | { readonly name: "configuration/uuid"; readonly version: number; readonly uuid: Uint8Array };

export interface ByteRange {
  readonly start: number;
  readonly length: number;
}

export type Command =
  | {
      readonly kind:
        | "open-return-path"
        | "postcopy-listen"
        | "postcopy-run"
        | "enable-colo"
        | "postcopy-resume"
        | "switchover-start";
    }
  | { readonly kind: "ping"; readonly value: number }
  /** Without sizes: only block dirty bitmaps will be post-copied, not RAM. */
  | {
      readonly kind: "postcopy-advise";
      readonly sizes?: { readonly hostPages: bigint; readonly targetPage: bigint };
    }
  | { readonly kind: "postcopy-discard"; readonly block: string; readonly ranges: readonly ByteRange[] }
  /** That many bytes follow the command, see `packageBytes`. */
  | { readonly kind: "packaged"; readonly size: number }
  | { readonly kind: "recv-bitmap"; readonly block: string };

/** One chunk of a dirty-bitmap section, field by field; what `flags` does not announce is absent. */
export interface BitmapChunk {
  readonly flags: number;
  readonly node?: string;
  readonly bitmap?: string;
  readonly start?: { readonly granularity: number; readonly flags: number };
  readonly bits?: { readonly firstSector: number; readonly sectors: number; readonly data?: Uint8Array };
}

/**
 * Why everything from here on is passed through untouched. `tail` is how every stream ends; all others mean that no
 * page can be seen from here on, and whoever needs to see them refuses instead (by throwing from `transparent`).
 */
export type Transparent =
  /** All sections that were started have ended: device state, or the end of a post-copy. */
  | { readonly kind: "tail" }
  | { readonly kind: "unknown-section"; readonly idstr: string; readonly version: number }
  | { readonly kind: "unknown-command"; readonly command: number }
  | { readonly kind: "unknown-configuration"; readonly name: string }
  /** Device state has no length, so RAM behind it cannot be found. */
  | { readonly kind: "early-device-state" }
  /** Pages are elsewhere, or lie in the stream in another form. */
  | { readonly kind: "capability"; readonly name: "x-ignore-shared" | "mapped-ram" | "x-colo" }
  /**
   * Deltas and compressed pages refer to what the target got before. The bytes that follow begin with such a record,
   * inside a section; they are right only behind the same last block (`block`).
   */
  | { readonly kind: "page-form"; readonly form: "xbzrle" | "compress" | "rdma"; readonly block?: string }
  | { readonly kind: "bitmap-form"; readonly flags: number }
  /** Machine types up to 2.3. */
  | { readonly kind: "no-footers" };

/**
 * Called for every byte of the stream exactly once, in order. `from`, `to` and `at` are positions in the buffer given
 * to `parse`, good until the call returns.
 */
export interface StreamHandler {
  header(from: number, to: number): void;
  configuration(machine: string, from: number, to: number): void;
  configurationPart(part: ConfigurationPart, from: number, to: number): void;
  command(command: Command, from: number, to: number): void;
  /** A piece of the package announced by the last command; `left` bytes of it are still to come. */
  packageBytes(from: number, to: number, left: number): void;
  sectionBegin(section: SectionBegin, from: number, to: number): void;
  ramSize(totalBytes: number, from: number, to: number): void;
  ramBlock(block: RamBlock, from: number, to: number): void;
  /**
   * A page: its bytes lie at `at`, its record begins at `from`, so with CONTINUE `at - from` is 8. `block` is an index
   * into the parser's `blocks`.
   */
  page(block: number, offset: number, at: number, from: number): void;
  /** A page filled with one byte value; QEMU sends 0 only. */
  zero(block: number, offset: number, fill: number, from: number, to: number): void;
  mark(mark: RamMark, from: number, to: number): void;
  bitmapChunk(chunk: BitmapChunk, from: number, to: number): void;
  sectionEnd(id: number, from: number, to: number): void;
  transparent(reason: Transparent): void;
  opaque(from: number, to: number): void;
}

/** `eos` ends a RAM section's body; `multifd-flush` is a sync point of multifd (8.1 and later). */
export type RamMark = "eos" | "multifd-flush";

/** Flags in the low bits of a RAM record's first word. */
export const RAM = {
  zero: 0x002,
  memSize: 0x004,
  page: 0x008,
  eos: 0x010,
  continue: 0x020,
  xbzrle: 0x040,
  hook: 0x080,
  compressPage: 0x100,
  multifdFlush: 0x200,
} as const;

/** Bits of a dirty-bitmap chunk. */
export const BITMAP = {
  eos: 0x01,
  zeroes: 0x02,
  bitmapName: 0x04,
  deviceName: 0x08,
  start: 0x10,
  complete: 0x20,
  bits: 0x40,
  extra: 0x80,
} as const;

/** What stands at the head of a stream, a configuration, a command, a footer. */
export const MAGIC = 0x5145_564d;
export const VERSION = 3;
export const BYTE = {
  eof: 0x00,
  full: 0x04,
  subsection: 0x05,
  vmdescription: 0x06,
  configuration: 0x07,
  command: 0x08,
  footer: 0x7e,
} as const;
