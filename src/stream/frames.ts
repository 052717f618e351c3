/**
 * A recorded stream as rows for a reader: one row a record, but pages of one section counted together unless each is
 * wanted. Decides what a row says; how it is shown is the command line's.
 */
import { packageParts } from "./package.ts";
import type { ReturnMessage } from "./return-path.ts";
import type { PlacedRecord, StreamRecord } from "./records.ts";
import type { BitmapChunk, Command, SectionBegin, Transparent } from "./types.ts";

export interface Frame {
  readonly offset: number;
  readonly bytes: number;
  readonly kind: string;
  readonly detail: string;
}

/** Counts pages until something else comes. */
export class FrameLister {
  readonly #eachPage: boolean;
  readonly #idstrs = new Map<number, string>();
  #pages: { offset: number; bytes: number; full: number; zero: number } | undefined;
  #opaque: { offset: number; bytes: number } | undefined;

  constructor(eachPage: boolean) {
    this.#eachPage = eachPage;
  }

  /** Rows that are finished now that this record came. */
  add({ record, offset, length }: PlacedRecord): readonly Frame[] {
    if (record.kind === "opaque") {
      this.#opaque = { offset: this.#opaque?.offset ?? offset, bytes: (this.#opaque?.bytes ?? 0) + length };
      return [];
    }
    if (!this.#eachPage && (record.kind === "page" || record.kind === "zero")) {
      const pages = (this.#pages ??= { offset, bytes: 0, full: 0, zero: 0 });
      pages.bytes += length;
      if (record.kind === "page") pages.full += 1;
      else pages.zero += 1;
      return [];
    }
    return [...this.end(), { offset, bytes: length, kind: record.kind, detail: this.#detail(record) }];
  }

  /** What is left when no record follows. */
  end(): readonly Frame[] {
    const pages = this.#pages;
    const opaque = this.#opaque;
    this.#pages = undefined;
    this.#opaque = undefined;
    if (pages !== undefined) {
      const { offset, bytes, full, zero } = pages;
      return [{ offset, bytes, kind: "pages", detail: `${full} full, ${zero} zero` }];
    }
    return opaque === undefined ? [] : [{ ...opaque, kind: "opaque", detail: "" }];
  }

  #detail(record: StreamRecord): string {
    switch (record.kind) {
      case "configuration":
        return record.machine;
      case "configuration-part":
        return record.part.name;
      case "command":
        return commandText(record.command);
      case "section-begin":
        return this.#section(record.section);
      case "section-end":
        return this.#idstrs.get(record.id) ?? `section ${record.id}`;
      case "ram-size":
        return `${record.totalBytes} bytes`;
      case "ram-block": {
        const { name, usedBytes, hostPageBytes } = record.block;
        const huge = hostPageBytes === undefined ? "" : `, pages of ${hostPageBytes}`;
        return `${name}: ${usedBytes} bytes${huge}`;
      }
      case "page":
      case "zero":
        return `${record.block} + ${record.offset}${record.continued ? ", continued" : ""}`;
      case "mark":
        return record.mark;
      case "bitmap-chunk":
        return chunkText(record.chunk);
      case "transparent":
        return transparentText(record.reason);
      case "package":
        return packageText(record.bytes);
      case "header":
      case "opaque":
        return "";
    }
  }

  #section(section: SectionBegin): string {
    if (section.type === "start") this.#idstrs.set(section.id, section.idstr);
    const name = this.#idstrs.get(section.id) ?? `section ${section.id}`;
    return section.type === "start" ? `start ${name}, version ${section.version}` : `${section.type} ${name}`;
  }
}

function commandText(command: Command): string {
  switch (command.kind) {
    case "ping":
      return `ping ${command.value}`;
    case "packaged":
      return `packaged, ${command.size} bytes`;
    case "recv-bitmap":
      return `recv-bitmap ${command.block}`;
    case "postcopy-discard": {
      const bytes = command.ranges.reduce((sum, { length }) => sum + length, 0);
      return `postcopy-discard ${command.block}: ${command.ranges.length} ranges, ${bytes} bytes`;
    }
    case "postcopy-advise":
      return command.sizes === undefined ? "postcopy-advise without RAM" : "postcopy-advise";
    default:
      return command.kind;
  }
}

function packageText(bytes: Uint8Array): string {
  const { from, to, ping } = packageParts(bytes);
  const pinged = ping === undefined ? "" : `ping ${ping}, `;
  return `postcopy-listen, ${to - from} bytes of device state, ${pinged}postcopy-run`;
}

function chunkText({ flags, node, bitmap, bits }: BitmapChunk): string {
  const names = [node, bitmap].filter((name) => name !== undefined);
  const sectors = bits === undefined ? [] : [`${bits.sectors} sectors from ${bits.firstSector}`];
  return [`flags 0x${flags.toString(16)}`, ...names, ...sectors].join(", ");
}

function transparentText(reason: Transparent): string {
  switch (reason.kind) {
    case "tail":
      return "all sections have ended";
    case "unknown-section":
      return `section ${reason.idstr} version ${reason.version} is not known`;
    case "unknown-command":
      return `command ${reason.command} is not known`;
    case "unknown-configuration":
      return `configuration ${reason.name} is not known`;
    case "early-device-state":
      return "device state before the end of RAM";
    case "capability":
      return `capability ${reason.name}`;
    case "page-form":
      return `a page in ${reason.form} form`;
    case "bitmap-form":
      return `a dirty bitmap's chunk with flags 0x${reason.flags.toString(16)}`;
    case "no-footers":
      return "sections without footers";
  }
}

export function messageText(message: ReturnMessage): string {
  switch (message.kind) {
    case "request-pages":
      return `${message.block ?? "same block"} + ${message.start}, ${message.length} bytes`;
    case "recv-bitmap":
      return `${message.block}, ${message.bitmap.length} bytes`;
    case "switchover-ack":
      return "";
    default:
      return String(message.value);
  }
}
