import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { cuts, cutUp, streams } from "../../test/model/stream-arbitrary.ts";
import { piecesOf, readPieces, readStream } from "../../test/model/streams.ts";
import { encodeRecords } from "./encode.ts";
import { UNIT_BYTES_MAX } from "./limits.ts";
import { StreamReader, type StreamRecord } from "./records.ts";

test("a stream read and written again is the same, record by record and byte by byte", () => {
  fc.assert(
    fc.property(streams, (records) => {
      const bytes = encodeRecords(records);
      const read = readStream(bytes);
      expect(read).toEqual(records);
      expect(Buffer.compare(encodeRecords(read), bytes)).toBe(0);
    }),
  );
});

test("any cut of any stream gives the same records", () => {
  fc.assert(
    fc.property(streams, cuts, (records, sizes) => {
      expect(readPieces(cutUp(encodeRecords(records), sizes))).toEqual(records);
    }),
  );
});

test("records lie one behind the other, without a gap", () => {
  fc.assert(
    fc.property(streams, cuts, (records, sizes) => {
      const reader = new StreamReader();
      let at = 0;
      for (const piece of cutUp(encodeRecords(records), sizes)) {
        reader.push(piece);
        for (const { offset, length } of reader) {
          expect(offset).toBe(at);
          at += length;
        }
      }
      expect(at).toBe(encodeRecords(records).length);
    }),
    { numRuns: 50 },
  );
});

test("a stream that ends early is not yet whole, never wrong", () => {
  fc.assert(
    fc.property(streams, fc.double({ min: 0, max: 1, noNaN: true }), (records, share) => {
      const bytes = encodeRecords(records);
      const reader = new StreamReader();
      reader.push(bytes.subarray(0, Math.floor(bytes.length * share)));
      const kinds = [...reader].map(({ record }) => record.kind);
      expect(records.slice(0, kinds.length).map(({ kind }) => kind)).toEqual(kinds);
    }),
  );
});

const noise = (): fc.Arbitrary<Uint8Array> =>
  fc
    .tuple(streams, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 6 }))
    .map(([records, changes]) => {
      const bytes = encodeRecords(records);
      for (const [at, value] of changes) bytes[at % Math.min(bytes.length, 1200)] = value;
      return bytes;
    });

describe("a hostile stream", () => {
  test("is refused with a code or read, and keeps no more than a unit waiting", () => {
    fc.assert(
      fc.property(noise(), (bytes) => {
        const reader = new StreamReader();
        try {
          for (const piece of piecesOf(bytes, 1000)) {
            reader.push(piece);
            if (reader.state !== "package") expect(reader.pendingBytes).toBeLessThan(UNIT_BYTES_MAX);
          }
        } catch (error) {
          expect(error).toMatchObject({ code: expect.stringMatching(/^STREAM_(INVALID|LIMIT)$/) });
        }
      }),
      { numRuns: 300 },
    );
  });

  const head = (...more: StreamRecord[]): Uint8Array => encodeRecords([{ kind: "header" }, ...more]);
  const ram: StreamRecord = {
    kind: "section-begin",
    section: { type: "start", id: 2, idstr: "ram", instance: 0, version: 4 },
  };
  const listed = (usedBytes: number): StreamRecord[] => [
    ram,
    { kind: "ram-size", totalBytes: usedBytes },
    { kind: "ram-block", block: { name: "pc.ram", usedBytes } },
  ];
  const at = (offset: number, name = "pc.ram", continued = false): StreamRecord => ({
    kind: "zero",
    block: name,
    offset,
    continued,
    fill: 0,
  });
  const discard = (start: number, length: number): StreamRecord => ({
    kind: "command",
    command: { kind: "postcopy-discard", block: "pc.ram", ranges: [{ start, length }] },
  });
  const closed: StreamRecord[] = [
    { kind: "mark", mark: "eos" },
    { kind: "section-end", id: 2 },
  ];

  test.each([
    ["another magic", new Uint8Array([1, 2, 3, 4]), "magic"],
    [
      "a package over the limit",
      head({ kind: "command", command: { kind: "packaged", size: 2 ** 32 - 1 } }),
      "package",
    ],
    ["an empty package", head({ kind: "command", command: { kind: "packaged", size: 0 } }), "package"],
    ["a machine's name over the limit", new Uint8Array([...head(), 7, 255, 255, 255, 255]), "machine"],
    ["more RAM than exists", head(ram, { kind: "ram-size", totalBytes: 2 ** 50 }), "RAM"],
    [
      "a block larger than the whole",
      head(...listed(4096).slice(0, 2), ...listed(8192).slice(2)),
      "at most 4096",
    ],
    ["a page beyond its block", head(...listed(8192), at(8192)), "within the block's 8192"],
    ["a page of no block", head(...listed(8192), at(0, "pc.rom")), "listed RAM block"],
    ["a first page without a name", head(...listed(8192), at(0, "", true)), "block's name"],
    ["a second list", head(...listed(4096), { kind: "ram-size", totalBytes: 4096 }), "second list"],
    [
      "a discard beyond its block",
      head(...listed(8192), ...closed, discard(4096, 8192)),
      "within the block's 8192",
    ],
    ["a discard of half a page", head(...listed(8192), ...closed, discard(0, 100)), "whole pages"],
    [
      "another section's footer",
      head(...listed(8192), { kind: "mark", mark: "eos" }, { kind: "section-end", id: 9 }),
      "footer",
    ],
    [
      "a part of no section",
      head({ kind: "section-begin", section: { type: "part", id: 5 } }),
      "open section",
    ],
    ["a section number twice", head(...listed(8192), ...closed, ram), "taken"],
    ["a byte that begins nothing", new Uint8Array([...head(), 0x55]), "0x55"],
  ])("%s is refused, saying what was expected", (_what, bytes, words) => {
    const read = (): unknown => readStream(bytes);
    expect(read).toThrow(words);
    expect(read).toThrow(expect.objectContaining({ code: expect.stringMatching(/^STREAM_/) }));
  });
});

describe("what cannot be read is passed through from its first byte", () => {
  const start = (idstr: string, version: number): StreamRecord => ({
    kind: "section-begin",
    section: { type: "start", id: 1, idstr, instance: 0, version },
  });
  const block = { name: "r", usedBytes: 4096 };
  const listed: StreamRecord[] = [
    start("ram", 4),
    { kind: "ram-size", totalBytes: 4096 },
    { kind: "ram-block", block },
  ];
  const raw = (...values: number[]): StreamRecord => ({ kind: "opaque", bytes: new Uint8Array(values) });
  const capability = (name: string): StreamRecord => ({
    kind: "configuration-part",
    part: { name: "configuration/capabilities", version: 1, capabilities: [name] },
  });
  const machine: StreamRecord = { kind: "configuration", machine: "pc" };
  const page = { block: "r", offset: 0, continued: false };

  test.each<[string, StreamRecord[], StreamRecord[], object]>([
    ["an unknown section", [], [start("vfio", 1)], { kind: "unknown-section", idstr: "vfio", version: 1 }],
    ["a newer RAM section", [], [start("ram", 5)], { kind: "unknown-section", idstr: "ram", version: 5 }],
    ["device state in front of RAM", [], [raw(4, 0, 0)], { kind: "early-device-state" }],
    ["an unknown command", [], [raw(8, 0, 99, 0, 0)], { kind: "unknown-command", command: 99 }],
    [
      "a shared RAM's configuration",
      [machine, capability("x-ignore-shared")],
      [raw(1)],
      { kind: "capability", name: "x-ignore-shared" },
    ],
    [
      "a mapped RAM's configuration",
      [machine, capability("mapped-ram")],
      [raw(1)],
      { kind: "capability", name: "mapped-ram" },
    ],
    [
      "COLO",
      [{ kind: "command", command: { kind: "enable-colo" } }],
      [raw(9)],
      { kind: "capability", name: "x-colo" },
    ],
    [
      "an unknown configuration",
      [machine],
      [raw(5, 1, 65, 0, 0, 0, 1)],
      { kind: "unknown-configuration", name: "A" },
    ],
    [
      "an XBZRLE page",
      [...listed, { kind: "zero", ...page, fill: 0 }],
      [raw(0, 0, 0, 0, 0, 0, 0, 0x60)],
      { kind: "page-form", form: "xbzrle", block: "r" },
    ],
    ["a compressed page", listed, [raw(0, 0, 0, 0, 0, 0, 1, 0)], { kind: "page-form", form: "compress" }],
    [
      "a section without a footer",
      [...listed, { kind: "mark", mark: "eos" }],
      [raw(2, 0, 0, 0, 1)],
      { kind: "no-footers" },
    ],
    [
      "a dirty bitmap of another form",
      [start("dirty-bitmap", 1)],
      [raw(0x80, 1)],
      { kind: "bitmap-form", flags: 0x80 },
    ],
  ])("%s", (_what, before, rest, reason) => {
    const whole: StreamRecord[] = [{ kind: "header" }, ...before];
    const bytes = encodeRecords([...whole, ...rest]);
    const read = readStream(bytes);
    expect(read.slice(0, -1)).toEqual([...whole, { kind: "transparent", reason }]);
    expect(encodeRecords(read)).toEqual(bytes);
  });

  test("a background snapshot's first device is its RAM's end, if one knows", () => {
    const bytes = encodeRecords([
      { kind: "header" },
      ...listed,
      { kind: "mark", mark: "eos" },
      { kind: "section-end", id: 1 },
      raw(4, 0),
    ]);
    const reasonOf = (options: object): unknown => readStream(bytes, options).at(-2);
    expect(reasonOf({ backgroundSnapshot: true })).toMatchObject({ reason: { kind: "tail" } });
    expect(reasonOf({})).toMatchObject({ reason: { kind: "early-device-state" } });
  });
});

test("a stream that continues a broken post-copy has no header", () => {
  const records: StreamRecord[] = [
    { kind: "command", command: { kind: "recv-bitmap", block: "r" } },
    { kind: "command", command: { kind: "postcopy-resume" } },
    { kind: "section-begin", section: { type: "end", id: 7 } },
    { kind: "page", block: "r", offset: 4096, continued: false, bytes: new Uint8Array(4096).fill(3) },
    { kind: "mark", mark: "eos" },
    { kind: "section-end", id: 7 },
    { kind: "transparent", reason: { kind: "tail" } },
    { kind: "opaque", bytes: new Uint8Array([0]) },
  ];
  const bytes = encodeRecords(records);
  const known = { blocks: [{ name: "r", usedBytes: 8192 }], sections: new Map([[7, "ram"]]) };
  expect(readStream(bytes, { resumes: known })).toEqual(records);
  expect(readStream(bytes, { resumes: {} })).toEqual(records);
  expect(() =>
    readStream(bytes, { resumes: { ...known, blocks: [{ name: "q", usedBytes: 8192 }] } }),
  ).toThrow("listed RAM block");
});
