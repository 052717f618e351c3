/** A handler for whoever passes most of a stream on as it is: all that is not overridden is `verbatim`. */
import type { BitmapChunk, Command, ConfigurationPart, RamBlock, RamMark } from "./types.ts";
import type { SectionBegin, StreamHandler, Transparent } from "./types.ts";

export abstract class Forwarding implements StreamHandler {
  /** Bytes to pass on as they are. */
  abstract verbatim(from: number, to: number): void;
  abstract page(block: number, offset: number, at: number, from: number): void;
  abstract zero(block: number, offset: number, fill: number, from: number, to: number): void;

  header(from: number, to: number): void {
    this.verbatim(from, to);
  }
  configuration(_machine: string, from: number, to: number): void {
    this.verbatim(from, to);
  }
  configurationPart(_part: ConfigurationPart, from: number, to: number): void {
    this.verbatim(from, to);
  }
  command(_command: Command, from: number, to: number): void {
    this.verbatim(from, to);
  }
  packageBytes(from: number, to: number, _left: number): void {
    this.verbatim(from, to);
  }
  sectionBegin(_section: SectionBegin, from: number, to: number): void {
    this.verbatim(from, to);
  }
  ramSize(_totalBytes: number, from: number, to: number): void {
    this.verbatim(from, to);
  }
  ramBlock(_block: RamBlock, from: number, to: number): void {
    this.verbatim(from, to);
  }
  mark(_mark: RamMark, from: number, to: number): void {
    this.verbatim(from, to);
  }
  bitmapChunk(_chunk: BitmapChunk, from: number, to: number): void {
    this.verbatim(from, to);
  }
  sectionEnd(_id: number, from: number, to: number): void {
    this.verbatim(from, to);
  }
  transparent(_reason: Transparent): void {}
  opaque(from: number, to: number): void {
    this.verbatim(from, to);
  }
}
