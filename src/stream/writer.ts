/**
 * Writes a stream of its own into one buffer of the caller: sections with pages that were dropped, merged or put in
 * another order, between bytes passed on as they were. It sets its own CONTINUE flags. Which pages, and when, is the
 * caller's to decide. Every method answers false when the buffer has no room; nothing was written then.
 */
import { putU32, putU64, WORD_BYTES } from "./bytes.ts";
import { MARK_FLAGS } from "./encode.ts";
import { BYTE, RAM, SECTION_BYTES, type RamBlock, type RamMark } from "./types.ts";

const NO_BLOCK = -1;
const SECTION_HEAD_BYTES = 5;

export class StreamWriter {
  readonly #out: Uint8Array;
  readonly #pageBytes: number;
  readonly #names: Uint8Array[] = [];
  #used = 0;
  #block = NO_BLOCK;
  #section: number | undefined;

  constructor(out: Uint8Array, pageBytes: number) {
    this.#out = out;
    this.#pageBytes = pageBytes;
  }

  /** Blocks in the parser's order, as they become known. */
  addBlock(block: Pick<RamBlock, "name">): void {
    this.#names.push(Uint8Array.from(block.name, (letter) => letter.charCodeAt(0)));
  }

  get used(): number {
    return this.#used;
  }
  /** What was written since the last `clear`; good until then. */
  get written(): Uint8Array {
    return this.#out.subarray(0, this.#used);
  }
  clear(): void {
    this.#used = 0;
  }

  /** Bytes of someone else's: passed on, or made by `encodeRecords`. Not between `begin` and `end`. */
  verbatim(bytes: Uint8Array, from = 0, to = bytes.length): boolean {
    if (!this.#fits(to - from)) return false;
    this.#out.set(bytes.subarray(from, to), this.#used);
    this.#used += to - from;
    return true;
  }

  /** Opens a section of a handler that was started before. Its first page names its block. */
  begin(type: "part" | "end", id: number): boolean {
    if (this.#section !== undefined) throw new RangeError(`section ${this.#section} is open`);
    if (!this.#fits(SECTION_HEAD_BYTES)) return false;
    this.#out[this.#used] = SECTION_BYTES[type];
    putU32(this.#out, this.#used + 1, id);
    this.#used += SECTION_HEAD_BYTES;
    this.#section = id;
    this.#block = NO_BLOCK;
    return true;
  }

  /** A page whose bytes lie at `at` in `bytes`. */
  page(block: number, offset: number, bytes: Uint8Array, at: number): boolean {
    if (!this.#head(RAM.page, block, offset, this.#pageBytes)) return false;
    this.#out.set(bytes.subarray(at, at + this.#pageBytes), this.#used);
    this.#used += this.#pageBytes;
    return true;
  }

  /** A page of zeros: newer QEMUs refuse any other fill. */
  zero(block: number, offset: number): boolean {
    if (!this.#head(RAM.zero, block, offset, 1)) return false;
    this.#out[this.#used] = 0;
    this.#used += 1;
    return true;
  }

  mark(mark: RamMark): boolean {
    if (!this.#fits(WORD_BYTES)) return false;
    putU64(this.#out, this.#used, MARK_FLAGS[mark]);
    this.#used += WORD_BYTES;
    return true;
  }

  /** Closes the section: the body's end and the footer. */
  end(): boolean {
    if (this.#section === undefined) throw new RangeError("no section is open");
    if (!this.#fits(WORD_BYTES + SECTION_HEAD_BYTES)) return false;
    this.mark("eos");
    this.#out[this.#used] = BYTE.footer;
    putU32(this.#out, this.#used + 1, this.#section);
    this.#used += SECTION_HEAD_BYTES;
    this.#section = undefined;
    return true;
  }

  #head(flag: number, block: number, offset: number, bodyBytes: number): boolean {
    const name = this.#names[block];
    if (name === undefined) throw new RangeError(`no block ${block}`);
    if (this.#section === undefined) throw new RangeError("no section is open");
    const continued = block === this.#block;
    const bytes = WORD_BYTES + (continued ? 0 : 1 + name.length);
    if (!this.#fits(bytes + bodyBytes)) return false;
    putU64(this.#out, this.#used, offset + flag + (continued ? RAM.continue : 0));
    if (!continued) {
      this.#out[this.#used + WORD_BYTES] = name.length;
      this.#out.set(name, this.#used + WORD_BYTES + 1);
      this.#block = block;
    }
    this.#used += bytes;
    return true;
  }

  #fits(bytes: number): boolean {
    return bytes <= this.#out.length - this.#used;
  }
}
