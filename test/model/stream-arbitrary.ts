/** Migration streams of every shape QEMU writes, as fast-check arbitraries; whole records, in a legal order. */
import * as fc from "fast-check";

import type { StreamRecord } from "../../src/stream/records.ts";
import type { ReturnMessage } from "../../src/stream/return-path.ts";
import { BITMAP, type BitmapChunk, type Command, type RamBlock } from "../../src/stream/types.ts";

const PAGE = 4096;
const RAM_ID = 2;
const BITMAP_ID = 3;
const LATIN1 = { unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)) };

const name = fc.string({ ...LATIN1, minLength: 1, maxLength: 255 });
const bytes = (maxLength: number) => fc.uint8Array({ maxLength });
const u32 = fc.integer({ min: 0, max: 0xffff_ffff });

const blocks: fc.Arbitrary<RamBlock[]> = fc.uniqueArray(
  fc.record(
    {
      name,
      usedBytes: fc.integer({ min: 1, max: 0x200_0000 }).map((count) => count * PAGE),
      hostPageBytes: fc.constantFrom(0x20_0000, 0x4000_0000),
    },
    { requiredKeys: ["name", "usedBytes"] },
  ),
  { minLength: 1, maxLength: 5, selector: (block) => block.name },
);

const configuration: fc.Arbitrary<StreamRecord[]> = fc
  .record({
    machine: fc.string({ ...LATIN1, maxLength: 255 }),
    uuid: fc.option(fc.uint8Array({ minLength: 16, maxLength: 16 })),
    capabilities: fc.option(fc.array(fc.constantFrom("validate-uuid", "x"), { maxLength: 3 })),
  })
  .map(({ machine, uuid, capabilities }) => [
    { kind: "configuration", machine },
    ...part(capabilities && { name: "configuration/capabilities" as const, version: 1, capabilities }),
    ...part(uuid && { name: "configuration/uuid" as const, version: 1, uuid }),
  ]);
const part = (value: Extract<StreamRecord, { kind: "configuration-part" }>["part"] | null): StreamRecord[] =>
  value === null ? [] : [{ kind: "configuration-part", part: value }];

const command = (one: Command): StreamRecord => ({ kind: "command", command: one });
const anyCommand = (list: readonly RamBlock[]): fc.Arbitrary<StreamRecord[]> =>
  fc.oneof(
    u32.map((value) => [command({ kind: "ping", value })]),
    fc
      .constantFrom("open-return-path", "postcopy-listen", "postcopy-resume", "switchover-start" as const)
      .map((kind) => [command({ kind: kind as "postcopy-listen" })]),
    fc.constantFrom(...list).map((block) => [command({ kind: "recv-bitmap", block: block.name })]),
    fc
      .tuple(fc.constantFrom(...list), fc.array(fc.nat(), { minLength: 1, maxLength: 12 }))
      .map(([block, starts]) => [
        command({
          kind: "postcopy-discard",
          block: block.name,
          ranges: starts.map((at) => ({ start: (at % (block.usedBytes / PAGE)) * PAGE, length: PAGE })),
        }),
      ]),
    fc
      .uint8Array({ minLength: 1, maxLength: 9000 })
      .map((body) => [
        command({ kind: "packaged", size: body.length }),
        { kind: "package" as const, bytes: body },
      ]),
  );

const chunk: fc.Arbitrary<BitmapChunk> = fc.oneof(
  fc.record({ node: name, bitmap: name, granularity: u32, flags: fc.nat(7) }).map((one) => ({
    flags: BITMAP.deviceName | BITMAP.bitmapName | BITMAP.start,
    node: one.node,
    bitmap: one.bitmap,
    start: { granularity: one.granularity, flags: one.flags },
  })),
  fc
    .record({ firstSector: u32, sectors: u32, data: bytes(2000) })
    .map((bits) => ({ flags: BITMAP.bits, bits })),
  fc.record({ firstSector: u32, sectors: u32 }).map((bits) => ({ flags: BITMAP.bits | BITMAP.zeroes, bits })),
  fc.constant({ flags: BITMAP.complete }),
);

interface PageChoice {
  readonly block: number;
  readonly page: number;
  readonly fill: number | null;
  readonly named: boolean;
  readonly flush: boolean;
}
const choices: fc.Arbitrary<PageChoice[]> = fc.array(
  fc.record({
    block: fc.nat(4),
    page: fc.nat(),
    fill: fc.option(fc.nat(255)),
    named: fc.boolean(),
    flush: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
  }),
  { maxLength: 8 },
);

/** Records of one section's body; `last` is the block of the page before, over sections. */
function pages(
  list: readonly RamBlock[],
  wanted: readonly PageChoice[],
  last: { name?: string },
): StreamRecord[] {
  return wanted.flatMap((choice): StreamRecord[] => {
    const block = list[choice.block % list.length];
    if (block === undefined) return [];
    const continued = last.name === block.name && !choice.named;
    last.name = block.name;
    const where = { block: block.name, offset: (choice.page % (block.usedBytes / PAGE)) * PAGE, continued };
    const record: StreamRecord =
      choice.fill === null
        ? { kind: "zero", ...where, fill: 0 }
        : { kind: "page", ...where, bytes: new Uint8Array(PAGE).fill(choice.fill) };
    return choice.flush ? [record, { kind: "mark", mark: "multifd-flush" }] : [record];
  });
}

const section = (type: "part" | "end", id: number, body: readonly StreamRecord[]): StreamRecord[] => [
  { kind: "section-begin", section: { type, id } },
  ...body,
  { kind: "section-end", id },
];
const EOS: StreamRecord = { kind: "mark", mark: "eos" };
const BITMAP_EOS: StreamRecord = { kind: "bitmap-chunk", chunk: { flags: BITMAP.eos } };

const between = (list: readonly RamBlock[]) =>
  fc.array(
    fc.oneof(
      anyCommand(list).map((records) => ({ records })),
      choices.map((choice) => ({ choice })),
      fc.array(chunk, { maxLength: 3 }).map((chunks) => ({ chunks })),
    ),
    { maxLength: 8 },
  );

/** A whole stream from header to tail. */
export const streams: fc.Arbitrary<StreamRecord[]> = blocks.chain((list) =>
  fc
    .record({
      configuration: fc.option(configuration),
      middle: between(list),
      final: choices,
      bitmaps: fc.constantFrom("none", "empty", "some"),
      tail: bytes(300),
    })
    .map((one) => assemble(list, one)),
);

interface Parts {
  readonly configuration: StreamRecord[] | null;
  readonly middle: readonly (
    | { records: StreamRecord[] }
    | { choice: PageChoice[] }
    | { chunks: BitmapChunk[] }
  )[];
  readonly final: PageChoice[];
  readonly bitmaps: string;
  readonly tail: Uint8Array;
}

function assemble(list: RamBlock[], parts: Parts): StreamRecord[] {
  const last = {};
  const usesBitmaps = parts.bitmaps === "some";
  const chunks = (all: readonly BitmapChunk[]): StreamRecord[] => [
    ...all.map((one): StreamRecord => ({ kind: "bitmap-chunk", chunk: one })),
    BITMAP_EOS,
  ];
  const started = (id: number, idstr: string, version: number): StreamRecord => ({
    kind: "section-begin",
    section: { type: "start", id, idstr, instance: 0, version },
  });
  const body = parts.middle.flatMap((one) => {
    if ("records" in one) return one.records;
    if ("choice" in one) return section("part", RAM_ID, [...pages(list, one.choice, last), EOS]);
    return usesBitmaps ? section("part", BITMAP_ID, chunks(one.chunks)) : [];
  });
  const hasHuge = list.some(({ hostPageBytes }) => hostPageBytes !== undefined);
  return [
    { kind: "header" },
    ...(parts.configuration ?? []),
    ...(hasHuge
      ? [command({ kind: "postcopy-advise", sizes: { hostPages: 0x20_1000n, targetPage: 4096n } })]
      : []),
    started(RAM_ID, "ram", 4),
    { kind: "ram-size", totalBytes: list.reduce((sum, block) => sum + block.usedBytes, 0) },
    ...list.map((block): StreamRecord => ({ kind: "ram-block", block })),
    EOS,
    { kind: "section-end", id: RAM_ID },
    ...(parts.bitmaps === "none"
      ? []
      : [
          started(BITMAP_ID, "dirty-bitmap", 1),
          ...chunks(usesBitmaps ? [{ flags: BITMAP.complete }] : []),
          { kind: "section-end" as const, id: BITMAP_ID },
        ]),
    ...body,
    ...(usesBitmaps ? section("end", BITMAP_ID, chunks([])) : []),
    ...section("end", RAM_ID, [...pages(list, parts.final, last), EOS]),
    { kind: "transparent", reason: { kind: "tail" } },
    ...(parts.tail.length > 0 ? [{ kind: "opaque" as const, bytes: parts.tail }] : []),
  ];
}

export const messages: fc.Arbitrary<ReturnMessage[]> = fc.array(
  fc.oneof(
    fc.record({
      kind: fc.constantFrom("shut", "pong", "resume-ack" as const),
      value: u32,
    }) as fc.Arbitrary<ReturnMessage>,
    fc.constant({ kind: "switchover-ack" as const }),
    fc.record(
      { kind: fc.constant("request-pages" as const), block: name, start: u32, length: u32 },
      { requiredKeys: ["kind", "start", "length"] },
    ),
    fc
      .tuple(name, fc.array(fc.uint8Array({ minLength: 8, maxLength: 8 }), { maxLength: 40 }))
      .map(([block, words]) => ({
        kind: "recv-bitmap" as const,
        block,
        bitmap: new Uint8Array(words.flatMap((word) => [...word])),
      })),
  ),
  { maxLength: 12 },
);

/** Where to cut, as sizes of pieces; used again and again until the stream is through. */
export const cuts = fc.array(fc.integer({ min: 1, max: 6000 }), { minLength: 1, maxLength: 6 });

export function* cutUp(all: Uint8Array, sizes: readonly number[]): Generator<Uint8Array> {
  for (let at = 0, index = 0; at < all.length; index += 1) {
    const size = sizes[index % sizes.length] ?? 1;
    yield all.subarray(at, at + size);
    at += size;
  }
}
