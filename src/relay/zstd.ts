/**
 * zstd with contexts that are kept: a stream whose every piece can be decoded as soon as it arrives, with a window over all
 * pieces before it, and frames of their own. Decides which of two implementations is used; what is compressed, and when a
 * level is worth its time, is left to others. Why there are two: docs/decisions/0003-zstd-inside-node.md.
 */
import { nativeZstd } from "./zstd-native.ts";
import { nodeZstd } from "./zstd-node.ts";

export interface CompressorOptions {
  /** Negative levels are fast. */
  readonly level: number;
  /** The window is 2 to this power: how far back a repeat is found, and what each side keeps in memory. */
  readonly windowLog: number;
  /** Finds repeats anywhere in the window; without it only as far back as the level's tables reach. */
  readonly longDistance: boolean;
}

export interface Compressor {
  /** Compresses and flushes: the peer can decode all input so far. Says how many bytes were written to `output`. */
  write(input: Uint8Array, output: Uint8Array): Promise<number>;
  /** Ends the stream with its checksum over everything, which the peer checks. A later write begins another stream. */
  end(output: Uint8Array): Promise<number>;
  /** From the next write on. It begins with an empty window: zstd keeps a level for as long as its window. */
  setLevel(level: number): void;
  /** Memory held, or null where nobody says. */
  memoryBytes(): number | null;
  close(): void;
}

export interface DecompressorOptions {
  /** A stream with a larger window is refused before memory is taken for it. */
  readonly windowLogMax: number;
  /** Who sent it, for the refusal. */
  readonly host?: string;
}

export interface Decompressor {
  /**
   * Decodes one piece exactly as it was written, into `output`, and says how many bytes it was.
   * @throws CodedError PEER_GARBAGE for anything no compressor makes, or more than `output` holds. It takes nothing after.
   */
  write(input: Uint8Array, output: Uint8Array): Promise<number>;
  memoryBytes(): number | null;
  close(): void;
}

/** Frames that need nothing from before. */
export interface FrameCodec {
  compress(input: Uint8Array, output: Uint8Array): Promise<number>;
  /** @throws CodedError PEER_GARBAGE, as a Decompressor does. */
  decompress(input: Uint8Array, output: Uint8Array): Promise<number>;
  setLevel(level: number): void;
  close(): void;
}

/** One call at a time on each of what is made here; buffers belong to it until its promise settles. */
export interface Zstd {
  readonly name: "native" | "node";
  makeCompressor(options: CompressorOptions): Compressor;
  makeDecompressor(options: DecompressorOptions): Decompressor;
  makeFrameCodec(options: { readonly level: number; readonly host?: string }): FrameCodec;
}

let chosen: Zstd | undefined;

/** The fastest that works here; found once. */
export const zstd = (): Zstd => (chosen ??= nativeZstd() ?? nodeZstd);

export const makeCompressor = (options: CompressorOptions): Compressor => zstd().makeCompressor(options);
export const makeDecompressor = (options: DecompressorOptions): Decompressor =>
  zstd().makeDecompressor(options);
export const makeFrameCodec = (options: { readonly level: number; readonly host?: string }): FrameCodec =>
  zstd().makeFrameCodec(options);
export { compressBound } from "./zstd-bound.ts";
