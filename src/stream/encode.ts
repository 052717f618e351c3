/** Records to bytes: the exact inverse of the reader. */
import { Joiner } from "./bytes.ts";
import { writeCommand } from "./commands.ts";
import { writeConfigurationPart } from "./configuration.ts";
import { writeBitmapChunk } from "./dirty-bitmap.ts";
import type { StreamRecord } from "./records.ts";
import { BYTE, MAGIC, RAM, SECTION_BYTES, VERSION, type RamMark, type SectionBegin } from "./types.ts";

export const MARK_FLAGS = { eos: RAM.eos, "multifd-flush": RAM.multifdFlush } as const satisfies Record<
  RamMark,
  number
>;

export function encodeRecords(records: Iterable<StreamRecord>): Uint8Array {
  const out = new Joiner();
  for (const record of records) writeRecord(out, record);
  return out.done();
}

function writeRecord(out: Joiner, record: StreamRecord): void {
  switch (record.kind) {
    case "header":
      out.u32(MAGIC).u32(VERSION);
      return;
    case "configuration":
      out.u8(BYTE.configuration).u32(record.machine.length).text(record.machine);
      return;
    case "configuration-part":
      writeConfigurationPart(out, record.part);
      return;
    case "command":
      writeCommand(out, record.command);
      return;
    case "section-begin":
      writeSectionBegin(out, record.section);
      return;
    case "ram-size":
      out.u64(record.totalBytes + RAM.memSize);
      return;
    case "ram-block":
      out.str8(record.block.name).u64(record.block.usedBytes);
      if (record.block.hostPageBytes !== undefined) out.u64(record.block.hostPageBytes);
      return;
    case "page":
      writePageHead(out, RAM.page, record).raw(record.bytes);
      return;
    case "zero":
      writePageHead(out, RAM.zero, record).u8(record.fill);
      return;
    case "mark":
      out.u64(MARK_FLAGS[record.mark]);
      return;
    case "bitmap-chunk":
      writeBitmapChunk(out, record.chunk);
      return;
    case "section-end":
      out.u8(BYTE.footer).u32(record.id);
      return;
    case "package":
    case "opaque":
      out.raw(record.bytes);
      return;
    case "transparent":
  }
}

function writeSectionBegin(out: Joiner, section: SectionBegin): void {
  out.u8(SECTION_BYTES[section.type]).u32(section.id);
  if (section.type === "start") out.str8(section.idstr).u32(section.instance).u32(section.version);
}

function writePageHead(
  out: Joiner,
  flag: number,
  page: { readonly block: string; readonly offset: number; readonly continued: boolean },
): Joiner {
  if (page.continued) return out.u64(page.offset + flag + RAM.continue);
  return out.u64(page.offset + flag).str8(page.block);
}
