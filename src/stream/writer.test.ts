import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { readStream } from "../../test/model/streams.ts";
import { encodeRecords } from "./encode.ts";
import { Forwarding } from "./forwarding.ts";
import { StreamParser } from "./parser.ts";
import type { StreamRecord } from "./records.ts";
import { StreamWriter } from "./writer.ts";

const PAGE = 4096;
const BLOCKS = ["pc.ram", "vga", "pc.rom"].map((name) => ({ name, usedBytes: 64 * PAGE }));
const OPENING = encodeRecords([
  { kind: "header" },
  { kind: "section-begin", section: { type: "start", id: 2, idstr: "ram", instance: 0, version: 4 } },
  { kind: "ram-size", totalBytes: 3 * 64 * PAGE },
  ...BLOCKS.map((block): StreamRecord => ({ kind: "ram-block", block })),
  { kind: "mark", mark: "eos" },
  { kind: "section-end", id: 2 },
]);

const writerInto = (bytes: number): StreamWriter => {
  const writer = new StreamWriter(new Uint8Array(bytes), PAGE);
  for (const block of BLOCKS) writer.addBlock(block);
  return writer;
};

interface Choice {
  readonly block: number;
  readonly page: number;
  readonly fill: number;
}
const sections: fc.Arbitrary<Choice[][]> = fc.array(
  fc.array(fc.record({ block: fc.nat(2), page: fc.nat(63), fill: fc.nat(3) }), { maxLength: 12 }),
  { maxLength: 4 },
);

test("pages in any order and blocks come back as they were put in, named once per run and section", () => {
  fc.assert(
    fc.property(sections, (all) => {
      const writer = writerInto(2 ** 19);
      expect(writer.verbatim(OPENING)).toBe(true);
      const expected = all.flatMap((choices) => {
        writer.begin("part", 2);
        let last: number | undefined;
        const records = choices.map(({ block, page, fill }): StreamRecord => {
          const where = {
            block: BLOCKS[block]?.name ?? "",
            offset: page * PAGE,
            continued: block === last,
          };
          last = block;
          const bytes = new Uint8Array(PAGE).fill(fill);
          if (fill === 0) writer.zero(block, page * PAGE);
          else writer.page(block, page * PAGE, bytes, 0);
          return fill === 0 ? { kind: "zero", ...where, fill } : { kind: "page", ...where, bytes };
        });
        writer.end();
        return records;
      });
      const read = readStream(writer.written).filter(({ kind }) => kind === "page" || kind === "zero");
      expect(read).toEqual(expected);
    }),
    { numRuns: 50 },
  );
});

describe("a writer without room", () => {
  const page = new Uint8Array(PAGE).fill(7);
  test("says so, has written nothing, and goes on once it is cleared", () => {
    const writer = writerInto(5 + 8 + 7 + PAGE + 20);
    expect(writer.begin("part", 2)).toBe(true);
    expect(writer.page(0, 0, page, 0)).toBe(true);
    const before = writer.used;
    expect(writer.page(0, PAGE, page, 0)).toBe(false);
    expect(writer.zero(1, 0)).toBe(true);
    expect([writer.mark("eos"), writer.end(), writer.verbatim(page)]).toEqual([false, false, false]);
    expect(writer.used).toBe(before + 8 + 4 + 1);
    writer.clear();
    expect(writer.end()).toBe(true);
    expect([...writer.written]).toEqual([0, 0, 0, 0, 0, 0, 0, 0x10, 0x7e, 0, 0, 0, 2]);
  });
});

test("pages outside a section are a fault of the caller", () => {
  const writer = writerInto(100);
  expect(() => writer.zero(0, 0)).toThrow("no section");
  writer.begin("end", 2);
  expect(() => writer.begin("part", 2)).toThrow("open");
  expect(() => writer.zero(9, 0)).toThrow("no block");
});

describe("a parser in the caller's buffer", () => {
  class Kept extends Forwarding {
    readonly seen: number[] = [];
    kept = 0;
    stop: (() => void) | undefined;
    verbatim(from: number, to: number): void {
      this.kept += to - from;
    }
    page(_block: number, offset: number): void {
      this.seen.push(offset);
      this.stop?.();
    }
    zero(block: number, offset: number): void {
      this.page(block, offset);
    }
  }
  const stream = encodeRecords([
    { kind: "section-begin", section: { type: "part", id: 2 } },
    { kind: "zero", block: "vga", offset: 0, continued: false, fill: 0 },
    { kind: "zero", block: "vga", offset: PAGE, continued: true, fill: 0 },
    { kind: "mark", mark: "eos" },
    { kind: "section-end", id: 2 },
  ]);

  test("hands on every byte that is no page", () => {
    const handler = new Kept();
    const parser = new StreamParser(handler);
    parser.parse(OPENING);
    const before = handler.kept;
    expect(before).toBe(OPENING.length);
    expect(parser.parse(stream)).toBe(stream.length);
    expect(handler.kept - before).toBe(5 + 8 + 5);
    expect(parser.offset).toBe(OPENING.length + stream.length);
    expect([...parser.openSections]).toEqual([[2, "ram"]]);
  });

  test("stops behind a record when asked, and goes on from there", () => {
    const handler = new Kept();
    const parser = new StreamParser(handler);
    parser.parse(OPENING);
    handler.stop = () => parser.pause();
    const at = parser.parse(stream);
    expect(handler.seen).toEqual([0]);
    const next = parser.parse(stream, at);
    expect(handler.seen).toEqual([0, PAGE]);
    expect(parser.parse(stream, next)).toBe(stream.length);
  });
});
