/**
 * Walks a migration stream in the caller's buffer and tells a handler what lies where. Decides where each thing begins
 * and ends, and from which byte on nothing can be told any more; what to do with it is the handler's.
 */
import { Cursor } from "./bytes.ts";
import { parseCommand } from "./commands.ts";
import { parseConfigurationPart } from "./configuration.ts";
import { parseBitmapChunk } from "./dirty-bitmap.ts";
import { beyond, invalid } from "./faults.ts";
import { MACHINE_NAME_BYTES_MAX, SECTIONS_MAX } from "./limits.ts";
import { RamBody } from "./ram.ts";
import { BITMAP, BYTE, MAGIC, SECTION_BYTES, VERSION } from "./types.ts";
import type { Command, ConfigurationPart, RamBlock, SectionBegin, SectionType } from "./types.ts";
import type { StreamHandler, Transparent } from "./types.ts";

/** Handlers whose bodies can be read, and the one version of each. */
const READABLE: ReadonlyMap<string, number> = new Map([
  ["ram", 4],
  ["dirty-bitmap", 1],
]);
const RAM_IDSTR = "ram";
const TYPES = new Map(
  Object.entries(SECTION_BYTES).map(([type, byte]) => [byte as number, type as SectionType]),
);
/** Capabilities that put RAM elsewhere or in another form. */
const FOREIGN = ["x-ignore-shared", "mapped-ram"] as const;

export interface StreamOptions {
  /** Known from the controller; a stream with RAM's advice says so itself. */
  readonly postcopyRam?: boolean;
  /** The first device section is the end of RAM, which has no END then. */
  readonly backgroundSnapshot?: boolean;
  /**
   * A stream that continues a broken post-copy has no header: its blocks and sections are those of the first one.
   * Without them (a recording by itself) blocks are taken as they are named, and sections are RAM's.
   */
  readonly resumes?: {
    readonly pageBytes?: number;
    readonly blocks?: readonly RamBlock[];
    readonly sections?: ReadonlyMap<number, string>;
  };
}

type State =
  | "header"
  | "after-header"
  | "configuration-parts"
  | "between"
  | "package"
  | "ram"
  | "dirty-bitmap"
  | "footer"
  | "transparent";

/** What a step answers when its unit is not there whole yet. */
const NOT_YET = -1;

interface Section {
  readonly idstr: string;
  /** Ended, or never to be continued. */
  over: boolean;
}

export class StreamParser {
  readonly #handler: StreamHandler;
  readonly #backgroundSnapshot: boolean;
  readonly #learnsSections: boolean;
  readonly #ram: RamBody;
  readonly #sections = new Map<number, Section>();
  #state: State = "header";
  #current: { readonly id: number; readonly type: SectionType; chunks: number } | undefined;
  #packageLeft = 0;
  #footerSeen = false;
  #offset = 0;
  // Of the call to parse that runs now.
  #bytes: Uint8Array = new Uint8Array();
  #to = 0;
  #base = 0;

  constructor(handler: StreamHandler, options: StreamOptions = {}) {
    this.#handler = handler;
    this.#backgroundSnapshot = options.backgroundSnapshot ?? false;
    const { resumes } = options;
    this.#ram = new RamBody(resumes?.blocks ?? [], resumes !== undefined && resumes.blocks === undefined);
    this.#ram.postcopyRam = options.postcopyRam ?? false;
    this.#learnsSections = resumes !== undefined && resumes.sections === undefined;
    if (resumes === undefined) return;
    this.#state = "between";
    this.#ram.pageBytes = resumes.pageBytes ?? this.#ram.pageBytes;
    for (const [id, idstr] of resumes.sections ?? []) this.#sections.set(id, { idstr, over: false });
  }

  /** RAM blocks in the order of the stream's list; `page` and `zero` name them by their place here. */
  get blocks(): readonly RamBlock[] {
    return this.#ram.blocks;
  }
  get pageBytes(): number {
    return this.#ram.pageBytes;
  }
  /** Bytes consumed since the beginning. */
  get offset(): number {
    return this.#offset;
  }
  /** What the next byte belongs to. A stream may end in `transparent` only. */
  get state(): State {
    return this.#state;
  }
  /** Sections that were started and are not over, to hand to `resumes` after a broken post-copy. */
  get openSections(): ReadonlyMap<number, string> {
    const open = [...this.#sections].filter(([, { over }]) => !over);
    return new Map(open.map(([id, { idstr }]) => [id, idstr]));
  }

  /** To be called by a handler: parse returns behind what it is telling. */
  pause(): void {
    this.#ram.paused = true;
  }

  /**
   * Tells the handler all that is whole in [from, to) and returns where the rest begins. That rest is to be given again,
   * with more behind it. `UNIT_BYTES_MAX` bytes are always enough to go on.
   * @throws CodedError STREAM_INVALID, STREAM_LIMIT. The parser is of no use then.
   */
  parse(bytes: Uint8Array, from = 0, to = bytes.length): number {
    this.#bytes = bytes;
    this.#to = to;
    this.#base = this.#offset - from;
    this.#ram.paused = false;
    let at = from;
    while (at < to && !this.#ram.paused) {
      const next = this.#step(at);
      if (next === NOT_YET) break;
      at = next;
    }
    this.#offset = this.#base + at;
    return at;
  }

  #step(at: number): number {
    switch (this.#state) {
      case "header":
        return this.#header(at);
      case "after-header":
        if (this.#bytes[at] === BYTE.configuration) return this.#configuration(at);
        return this.#enter("between", at);
      case "configuration-parts":
        if (this.#bytes[at] === BYTE.subsection) return this.#configurationPart(at);
        return this.#enter("between", at);
      case "between":
        return this.#between(at);
      case "package":
        return this.#package(at);
      case "ram":
        return this.#ramBody(at);
      case "dirty-bitmap":
        return this.#bitmapBody(at);
      case "footer":
        return this.#footer(at);
      case "transparent":
        this.#handler.opaque(at, this.#to);
        return this.#to;
    }
  }

  #enter(state: State, at: number): number {
    this.#state = state;
    return at;
  }

  #transparent(reason: Transparent, at: number): number {
    this.#handler.transparent(reason);
    return this.#enter("transparent", at);
  }

  #cursor(at: number): Cursor {
    return new Cursor(this.#bytes, at, this.#to, this.#base);
  }

  #header(at: number): number {
    const cursor = this.#cursor(at);
    cursor.expect(cursor.u32() === MAGIC, "the magic of a migration stream");
    cursor.expect(cursor.u32() === VERSION, `stream version ${VERSION}`);
    if (cursor.short) return NOT_YET;
    this.#handler.header(at, cursor.at);
    return this.#enter("after-header", cursor.at);
  }

  #configuration(at: number): number {
    const cursor = this.#cursor(at);
    cursor.u8();
    const length = cursor.u32();
    cursor.limit(length, MACHINE_NAME_BYTES_MAX, "bytes in a machine's name");
    const machine = cursor.text(length);
    if (cursor.short) return NOT_YET;
    this.#handler.configuration(machine, at, cursor.at);
    return this.#enter("configuration-parts", cursor.at);
  }

  #configurationPart(at: number): number {
    const cursor = this.#cursor(at);
    const part = parseConfigurationPart(cursor);
    if (part === undefined) return NOT_YET;
    if (part.name === "unknown")
      return this.#transparent({ kind: "unknown-configuration", name: part.text }, at);
    this.#handler.configurationPart(part, at, cursor.at);
    return this.#learnConfiguration(part, cursor.at);
  }

  #learnConfiguration(part: ConfigurationPart, at: number): number {
    if ("bits" in part) this.#ram.pageBytes = 2 ** part.bits;
    if (!("capabilities" in part)) return at;
    const foreign = FOREIGN.find((name) => part.capabilities.includes(name));
    return foreign === undefined ? at : this.#transparent({ kind: "capability", name: foreign }, at);
  }

  #between(at: number): number {
    const byte = this.#bytes[at] ?? 0;
    if (byte === BYTE.command) return this.#command(at);
    const type = TYPES.get(byte);
    if (type !== undefined) return this.#sectionBegin(type, at);
    if (byte === BYTE.full) {
      const isEnd = this.#backgroundSnapshot && this.#sections.size > 0;
      return this.#transparent({ kind: isEnd ? "tail" : "early-device-state" }, at);
    }
    throw invalid(this.#base + at, `a section or a command, not byte 0x${byte.toString(16)}`);
  }

  #command(at: number): number {
    const cursor = this.#cursor(at);
    const command = parseCommand(cursor);
    if (command === undefined) return NOT_YET;
    if (command.kind === "unknown") {
      return this.#transparent({ kind: "unknown-command", command: command.number }, at);
    }
    this.#checkBlock(command, cursor);
    if (command.kind === "postcopy-advise" && command.sizes !== undefined) this.#ram.postcopyRam = true;
    this.#handler.command(command, at, cursor.at);
    if (command.kind === "enable-colo") {
      return this.#transparent({ kind: "capability", name: "x-colo" }, cursor.at);
    }
    if (command.kind !== "packaged") return cursor.at;
    this.#packageLeft = command.size;
    return this.#enter("package", cursor.at);
  }

  #checkBlock(command: Command, cursor: Cursor): void {
    if (!("block" in command)) return;
    const block = this.#ram.blocks[this.#ram.indexOf(command.block) ?? -1];
    cursor.expect(block !== undefined, "the name of a listed RAM block");
    if (block === undefined || !("ranges" in command)) return;
    const { pageBytes } = this.#ram;
    const fits = command.ranges.every(
      ({ start, length }) =>
        length > 0 &&
        start % pageBytes === 0 &&
        length % pageBytes === 0 &&
        start + length <= block.usedBytes,
    );
    cursor.expect(fits, `discard ranges of whole pages within the block's ${block.usedBytes} bytes`);
  }

  #package(at: number): number {
    const end = Math.min(this.#to, at + this.#packageLeft);
    this.#packageLeft -= end - at;
    this.#handler.packageBytes(at, end, this.#packageLeft);
    return this.#packageLeft === 0 ? this.#enter("between", end) : end;
  }

  #sectionBegin(type: SectionType, at: number): number {
    const cursor = this.#cursor(at);
    cursor.u8();
    const id = cursor.u32();
    const section: SectionBegin =
      type === "start"
        ? { type, id, idstr: cursor.str8(), instance: cursor.u32(), version: cursor.u32() }
        : { type, id };
    if (cursor.short) return NOT_YET;
    if (section.type === "start") {
      const { idstr, version } = section;
      if (READABLE.get(idstr) !== version) {
        return this.#transparent({ kind: "unknown-section", idstr, version }, at);
      }
      cursor.expect(!this.#sections.has(id), `a section id other than ${id}, which is taken`);
      if (this.#sections.size >= SECTIONS_MAX) {
        throw beyond(this.#base + at, "sections", this.#sections.size + 1, SECTIONS_MAX);
      }
      this.#sections.set(id, { idstr, over: false });
    } else if (this.#learnsSections && this.#sections.size === 0) {
      this.#sections.set(id, { idstr: RAM_IDSTR, over: false });
    }
    const known = this.#sections.get(id);
    cursor.expect(known?.over === false, `the id of an open section, not ${id}`);
    this.#current = { id, type, chunks: 0 };
    this.#ram.begin();
    this.#handler.sectionBegin(section, at, cursor.at);
    return this.#enter(known?.idstr === RAM_IDSTR ? "ram" : "dirty-bitmap", cursor.at);
  }

  #ramBody(at: number): number {
    const next = this.#ram.walk(this.#bytes, at, this.#to, this.#base, this.#handler);
    if (this.#ram.refused !== undefined) return this.#transparent(this.#ram.refused, next);
    if (this.#ram.ended) return this.#enter("footer", next);
    return next === at ? NOT_YET : next;
  }

  #bitmapBody(at: number): number {
    const cursor = this.#cursor(at);
    const chunk = parseBitmapChunk(cursor);
    if (chunk === undefined) return NOT_YET;
    if ((chunk.flags & BITMAP.extra) !== 0) {
      return this.#transparent({ kind: "bitmap-form", flags: chunk.flags }, at);
    }
    cursor.expect(chunk.flags !== 0, "a dirty bitmap's chunk that says something");
    this.#handler.bitmapChunk(chunk, at, cursor.at);
    const current = this.#current;
    if (current !== undefined) current.chunks += 1;
    return (chunk.flags & BITMAP.eos) === 0 ? cursor.at : this.#enter("footer", cursor.at);
  }

  #footer(at: number): number {
    const cursor = this.#cursor(at);
    if (cursor.u8() !== BYTE.footer) {
      if (!this.#footerSeen) return this.#transparent({ kind: "no-footers" }, at);
      cursor.expect(false, "a section's footer");
    }
    const current = this.#current;
    const id = cursor.u32();
    cursor.expect(id === current?.id, `a footer of section ${current?.id}, not of ${id}`);
    if (cursor.short || current === undefined) return NOT_YET;
    this.#footerSeen = true;
    this.#handler.sectionEnd(id, at, cursor.at);
    const section = this.#sections.get(id);
    // A VM without dirty bitmaps starts their section with nothing in it, and neither continues nor ends it.
    const isEmpty = section?.idstr !== RAM_IDSTR && current.type === "start" && current.chunks === 1;
    if (section !== undefined && (current.type === "end" || isEmpty)) section.over = true;
    const isOver = current.type === "end" && [...this.#sections.values()].every(({ over }) => over);
    return isOver ? this.#transparent({ kind: "tail" }, cursor.at) : this.#enter("between", cursor.at);
  }
}
