/**
 * The readers of QEMU's formats. A buffer is given with bytes behind it that are nobody's, once these and once those:
 * who reads them tells another story each time.
 */
import { createHash } from "node:crypto";

import { encodeRecords } from "../../src/stream/encode.ts";
import { BLOCKS_MAX, SECTIONS_MAX, UNIT_BYTES_MAX } from "../../src/stream/limits.ts";
import { packageParts } from "../../src/stream/package.ts";
import { StreamParser, type StreamOptions } from "../../src/stream/parser.ts";
import { StreamReader, type StreamRecord } from "../../src/stream/records.ts";
import { encodeReturn, ReturnReader } from "../../src/stream/return-path.ts";
import type { StreamHandler } from "../../src/stream/types.ts";
import { splitDevices } from "../../src/stream/vmdesc.ts";
import { must, type Reader } from "./reader.ts";

const STREAM_CODES = ["STREAM_INVALID", "STREAM_LIMIT"] as const;
const READ_BYTES = 7000;
const BEHIND_BYTES = 300;

/** The stream as a relay reads it: into one buffer, what was not taken moved to its front. */
function walk(input: Uint8Array, options: StreamOptions, behind: number): string {
  const buffer = new Uint8Array(UNIT_BYTES_MAX + READ_BYTES + BEHIND_BYTES);
  const told = createHash("sha1");
  let [end, at, calls] = [0, 0, 0];
  // Every byte once, in order, within what was given.
  const heard = (kind: string, from: number, to: number, value?: unknown): void => {
    must(from === at && from <= to && to <= end, `${kind} at [${from}, ${to}) of [${at}, ${end})`);
    must((calls += 1) <= input.length + 2, "more is told than there are bytes");
    at = to;
    told.update(`${kind} ${to - from} ${JSON.stringify(value, jsonable) ?? ""}`);
    told.update(buffer.subarray(from, to));
  };
  const handler: StreamHandler = {
    header: (from, to) => heard("header", from, to),
    configuration: (machine, from, to) => heard("configuration", from, to, machine),
    configurationPart: (part, from, to) => heard("part", from, to, part),
    command: (command, from, to) => heard("command", from, to, command),
    packageBytes: (from, to, left) => heard("package", from, to, left),
    sectionBegin: (section, from, to) => heard("begin", from, to, section),
    ramSize: (total, from, to) => heard("size", from, to, total),
    ramBlock: (block, from, to) => heard("block", from, to, block),
    page: (block, offset, body, from) => {
      const used = parser.blocks[block]?.usedBytes ?? -1;
      must(body > from && offset >= 0 && offset + parser.pageBytes <= used, `page ${offset} of ${used}`);
      heard("page", from, body + parser.pageBytes, [block, offset]);
    },
    zero: (block, offset, fill, from, to) => heard("zero", from, to, [block, offset, fill]),
    mark: (mark, from, to) => heard("mark", from, to, mark),
    bitmapChunk: (chunk, from, to) => heard("chunk", from, to, chunk),
    sectionEnd: (id, from, to) => heard("end", from, to, id),
    transparent: (reason) => void told.update(JSON.stringify(reason)),
    opaque: (from, to) => heard("opaque", from, to),
  };
  const parser = new StreamParser(handler, options);
  try {
    for (let read = 0; read < input.length; read += READ_BYTES) {
      const piece = input.subarray(read, read + READ_BYTES);
      buffer.set(piece, end);
      end += piece.length;
      buffer.fill(behind, end, end + BEHIND_BYTES);
      at = 0;
      const taken = parser.parse(buffer, 0, end);
      must(taken === at, `took ${taken} and told of ${at}`);
      buffer.copyWithin(0, taken, end);
      end -= taken;
      must(end < UNIT_BYTES_MAX, `${end} bytes make no unit`);
      must(parser.blocks.length <= BLOCKS_MAX, "too many blocks");
      must(parser.openSections.size <= SECTIONS_MAX, "too many sections");
    }
  } catch (error) {
    told.update(String(error));
    throw Object.assign(error as Error, { told: told.digest("hex") });
  }
  return told.digest("hex");
}

const jsonable = (_name: string, value: unknown): unknown =>
  typeof value === "bigint" ? value.toString() : value;

/** The same story whatever lies behind; a refusal must be the same refusal. */
function sameWhateverIsBehind(story: (behind: number) => string): void {
  const tell = (behind: number): { readonly told: string; readonly error?: unknown } => {
    try {
      return { told: story(behind) };
    } catch (error) {
      return { told: (error as { told?: string }).told ?? String(error), error };
    }
  };
  const [one, other] = [tell(0), tell(0xff)];
  must(one.told === other.told, "it was read beyond its end");
  if (one.error !== undefined) throw one.error;
}

const streamReader = (name: string, options: StreamOptions): Reader => ({
  name,
  codes: STREAM_CODES,
  read: (input) => {
    sameWhateverIsBehind((behind) => walk(input, options, behind));
    readRecords(input, options);
  },
});

/** What was taken becomes the same bytes again. */
function readRecords(input: Uint8Array, options: StreamOptions): void {
  const reader = new StreamReader(options);
  const records: StreamRecord[] = [];
  let length = 0;
  for (let at = 0; at < input.length; at += READ_BYTES) {
    reader.push(input.subarray(at, at + READ_BYTES));
    for (const placed of reader) {
      records.push(placed.record);
      length += placed.length;
    }
  }
  const again = encodeRecords(records);
  must(Buffer.compare(again, input.subarray(0, length)) === 0, "records become other bytes");
}

export const streamReaders: readonly Reader[] = [
  streamReader("stream", {}),
  streamReader("stream-post-copy", { postcopyRam: true }),
  streamReader("stream-recovery", { resumes: {} }),
  {
    name: "return",
    codes: STREAM_CODES,
    read: (input) => {
      const reader = new ReturnReader();
      const again: Uint8Array[] = [];
      for (let at = 0; at < input.length; at += READ_BYTES) {
        reader.push(input.subarray(at, at + READ_BYTES));
        for (const { message } of reader) again.push(encodeReturn(message));
      }
      const all = Buffer.concat(again);
      must(all.equals(input.subarray(0, all.length)), "messages become other bytes");
    },
  },
  {
    name: "package",
    codes: STREAM_CODES,
    read: (input) => {
      const { from, to } = packageParts(input);
      must(from >= 0 && from <= to && to <= input.length, `[${from}, ${to}) of ${input.length}`);
    },
  },
  {
    name: "vmdesc",
    codes: STREAM_CODES,
    seal: withItsLength,
    read: (input) => {
      let at = 0;
      for (const { from, to, bodyBytes } of splitDevices(input) ?? []) {
        must(from === at && bodyBytes >= 0 && to > from + bodyBytes && to <= input.length, "not in a row");
        at = to;
      }
    },
  },
];

/** The description's length stands in front of it; a description that became longer would not be looked at. */
function withItsLength(input: Uint8Array): Uint8Array {
  const at = Buffer.from(input).lastIndexOf(Buffer.from([0, 6]));
  if (at < 0 || at + 6 > input.length) return input;
  const sealed = Buffer.from(input);
  sealed.writeUInt32BE(input.length - at - 6, at + 2);
  return new Uint8Array(sealed);
}
