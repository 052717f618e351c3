/** Writes test/corpus/ anew from test/recordings/, small: node scripts/make-corpus.ts. Inputs that once failed stay. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { zstdCompressSync, zstdDecompressSync } from "node:zlib";

import { PAGE_BYTES } from "../src/page/types.ts";
import { Backlog, BACKLOG_BYTES } from "../src/relay/backlog.ts";
import { crc32, sha256 } from "../src/relay/bytes.ts";
import { StreamEncoding } from "../src/relay/encoding.ts";
import { openKernels } from "../src/relay/kernels.ts";
import { Joiner } from "../src/stream/bytes.ts";
import { encodeRecords } from "../src/stream/encode.ts";
import type { StreamRecord } from "../src/stream/records.ts";
import { encodeReturn, type ReturnMessage } from "../src/stream/return-path.ts";
import { batchParts, Encoder, ENCODER_BYTES } from "../src/wire/encode.ts";
import {
  abortFrame,
  creditFrame,
  encodeFrame,
  endFrame,
  pingFrame,
  plain,
  rawFrame,
} from "../src/wire/frame.ts";
import { encodeHello, Role } from "../src/wire/hello.ts";
import { BATCH_PAGES_MAX, FRAME_PAYLOAD_BYTES_MAX } from "../src/wire/limits.ts";
import { PageStore } from "../src/wire/store.ts";
import { SendingEnd, joined } from "../test/fakes/wire-pair.ts";
import { CORPUS, SUFFIX } from "../test/fuzz/corpus.ts";
import { asFrames, GUEST, SLOTS } from "../test/fuzz/wire-readers.ts";
import { readReturn, readStream } from "../test/model/streams.ts";
import { deltaEncode } from "../test/page/twins.ts";

const RECORDINGS = join(import.meta.dirname, "../test/recordings");
/** Of the pages in one section, so many stay. */
const PAGES_KEPT = 3;
const STREAM_ROOM_BYTES = 2 ** 20;

const recorded = (name: string): Uint8Array =>
  zstdDecompressSync(readFileSync(join(RECORDINGS, `${name}.zst`)));

function put(reader: string, name: string, bytes: Uint8Array): void {
  mkdirSync(join(CORPUS, reader), { recursive: true });
  const file = zstdCompressSync(bytes);
  writeFileSync(join(CORPUS, reader, `${name}${SUFFIX}`), file);
  console.log(`${reader}/${name}: ${bytes.byteLength} bytes, ${file.byteLength} in the file`);
}

/** The first of each section's pages, each with its block's name; at most so many sections of pages. */
function small(records: readonly StreamRecord[], sections: number): StreamRecord[] {
  const out: StreamRecord[] = [];
  let [kept, parts, skipping] = [0, 0, false];
  for (const record of records) {
    if (record.kind === "section-begin" && record.section.type === "part") {
      parts += 1;
      skipping = parts > sections;
    }
    if (record.kind === "section-begin") kept = 0;
    if (record.kind === "page" || record.kind === "zero") {
      kept += 1;
      if (kept <= PAGES_KEPT && !skipping)
        out.push({ ...record, continued: kept > 1 && same(out.at(-1), record.block) });
      continue;
    }
    if (!skipping) out.push(record);
    if (record.kind === "section-end") skipping = false;
  }
  return out;
}

const same = (before: StreamRecord | undefined, block: string): boolean =>
  before !== undefined && (before.kind === "page" || before.kind === "zero") && before.block === block;

const preCopy = readStream(recorded("pre-copy.stream"));
const postCopy = readStream(recorded("post-copy.stream"));
const recovery = readStream(recorded("recovery.stream"), { resumes: {} });
const streams = {
  "pre-copy": encodeRecords(small(preCopy, 2)),
  "post-copy": encodeRecords(small(postCopy, 4)),
};
for (const [name, bytes] of Object.entries(streams)) {
  put("stream", name, bytes);
  put("stream-post-copy", name, bytes);
}
put("stream-recovery", "recovery", encodeRecords(small(recovery, 3)));

/** Forms that the recorded QEMU did not use. */
const others: StreamRecord[] = [
  { kind: "header" },
  { kind: "configuration", machine: "pc-q35-7.2" },
  { kind: "configuration-part", part: { name: "configuration/target-page-bits", version: 1, bits: 12 } },
  {
    kind: "configuration-part",
    part: { name: "configuration/capabilities", version: 1, capabilities: ["validate-uuid", "x"] },
  },
  { kind: "configuration-part", part: { name: "configuration/uuid", version: 1, uuid: new Uint8Array(16) } },
  {
    kind: "command",
    command: { kind: "postcopy-advise", sizes: { hostPages: 0x20_1000n, targetPage: 4096n } },
  },
  {
    kind: "section-begin",
    section: { type: "start", id: 1, idstr: "dirty-bitmap", instance: 0, version: 1 },
  },
  {
    kind: "bitmap-chunk",
    chunk: { flags: 0x1c, node: "disk", bitmap: "b", start: { granularity: 65_536, flags: 1 } },
  },
  {
    kind: "bitmap-chunk",
    chunk: { flags: 0x40, bits: { firstSector: 0, sectors: 128, data: new Uint8Array(16) } },
  },
  { kind: "bitmap-chunk", chunk: { flags: 0x42, bits: { firstSector: 128, sectors: 128 } } },
  { kind: "bitmap-chunk", chunk: { flags: 0x01 } },
  { kind: "section-end", id: 1 },
  { kind: "section-begin", section: { type: "start", id: 2, idstr: "ram", instance: 0, version: 4 } },
  { kind: "ram-size", totalBytes: 3 * 2 ** 21 },
  { kind: "ram-block", block: { name: "huge", usedBytes: 2 ** 22, hostPageBytes: 2 ** 21 } },
  { kind: "ram-block", block: { name: "pc.ram", usedBytes: 2 ** 21 } },
  { kind: "mark", mark: "eos" },
  { kind: "section-end", id: 2 },
  { kind: "section-begin", section: { type: "part", id: 2 } },
  { kind: "page", block: "pc.ram", offset: 4096, continued: false, bytes: new Uint8Array(4096).fill(7) },
  { kind: "mark", mark: "multifd-flush" },
  { kind: "mark", mark: "eos" },
  { kind: "section-end", id: 2 },
  {
    kind: "command",
    command: { kind: "postcopy-discard", block: "pc.ram", ranges: [{ start: 4096, length: 8192 }] },
  },
  { kind: "command", command: { kind: "recv-bitmap", block: "pc.ram" } },
];
put("stream", "other-forms", encodeRecords(others));
put("stream-post-copy", "other-forms", encodeRecords(others));

for (const name of ["pre-copy", "post-copy", "recovery"]) {
  const messages = readReturn(recorded(`${name}.return`)).slice(0, 60);
  put("return", name, joined(messages.map(encodeReturn)));
}
const spoken: ReturnMessage[] = [
  { kind: "request-pages", block: "pc.ram", start: 4096, length: 4096 },
  { kind: "request-pages", start: 8192, length: 4096 },
  { kind: "recv-bitmap", block: "pc.ram", bitmap: new Uint8Array(64) },
  { kind: "resume-ack", value: 1 },
  { kind: "switchover-ack" },
  { kind: "shut", value: 0 },
];
put("return", "every-message", joined(spoken.map(encodeReturn)));

const packaged = postCopy.find((record) => record.kind === "package");
if (packaged?.kind === "package") put("package", "post-copy", packaged.bytes);
const tail = preCopy.at(-1);
if (tail?.kind === "opaque") put("vmdesc", "pre-copy", tail.bytes);

/** Two devices, the second with a subsection: so small that every value of the description is met. */
function twoDevices(): Uint8Array {
  const section = (id: number, name: string, body: number): Uint8Array =>
    new Joiner().u8(4).u32(id).str8(name).u32(0).u32(1).raw(new Uint8Array(body)).u8(0x7e).u32(id).done();
  const text = JSON.stringify({
    page_size: 4096,
    devices: [
      { name: "timer", instance_id: 0, fields: [{ name: "t", size: 8 }] },
      {
        name: "uart",
        fields: [{ name: "f", array_len: 3, size: 2 }],
        subsections: [{ vmsd_name: "uart/x", version: 1, fields: [{ name: "g", size: 4 }] }],
      },
    ],
  });
  const subsectionBytes = 1 + 1 + "uart/x".length + 4 + 4;
  return new Joiner()
    .raw(section(1, "timer", 8))
    .raw(section(2, "uart", 6 + subsectionBytes))
    .u8(0, 6)
    .u32(text.length)
    .text(text)
    .done();
}
put("vmdesc", "two-devices", twoDevices());

const hello = {
  role: Role.source,
  stripe: 1,
  stripes: 2,
  codecs: 5,
  payloadBytesMax: FRAME_PAYLOAD_BYTES_MAX,
  windowFrames: 16,
  batchPages: BATCH_PAGES_MAX,
  storeSlots: 256,
  store: { id: 1n, operations: 2n },
  boot: 3n,
  session: new Uint8Array(16).fill(3),
} as const;
put("hello", "hello", encodeHello(hello, sha256));
put(
  "frames",
  "every-kind",
  joined(
    [
      rawFrame(1, plain(Uint8Array.of(1, 2, 3))),
      rawFrame(2, { codec: 2, rawBytes: 3, payload: Uint8Array.of(1, 2, 3) }),
      creditFrame(3),
      pingFrame(new Uint8Array(8)),
      abortFrame("LINK_LOST", "Because."),
      endFrame(3),
    ].flatMap((frame) => [...encodeFrame(frame, crc32)]),
  ),
);
put("order", "mixed", Uint8Array.from([0, 2, 0, 1, 0, 3, 0, 6, 0, 5, 0, 4, 0, 7, 0, 9, 0, 8]));

const filled = (seed: number, changedAt = -1): Uint8Array =>
  new Uint8Array(PAGE_BYTES).map((_, at) =>
    at === changedAt ? 255 : (at * 31 + seed * 97 + (at >> 5) * seed) % 251,
  );

/** Every operation. */
function batches(): Uint8Array {
  const end = new SendingEnd(SLOTS, (bytes) => openKernels({ pages: bytes / PAGE_BYTES }));
  for (const [block, pages] of GUEST.blocks.entries()) end.store.addBlock(0, block, pages);
  end.encoder.begin(0, 1);
  for (let page = 0; page < 5; page += 1) end.add(filled(page), 0, page);
  end.add(new Uint8Array(PAGE_BYTES), 1, 15);
  const first = end.take();
  end.add(filled(0), 0, 0);
  end.add(filled(1, 9), 0, 1);
  for (const [page, content] of [filled(2), filled(3), filled(4, 77), filled(11)].entries()) {
    end.add(content, 1, page + 1);
  }
  const second = end.take();
  return asFrames(
    [first, second].map((payload) => ({ kind: "pages", payload: payload ?? new Uint8Array() })),
  );
}
put("batch", "every-operation", batches());
const [base, page] = [filled(0), filled(0)];
for (const at of [0, 1, 90, 500, 501, 502, 503, 4000, 4095]) page[at] = 1;
page.fill(9, 1000, 1400);
put("delta", "runs-of-every-form", deltaEncode(base, page));

/** What the source's relay says of this stream. */
function session(stream: Uint8Array): Uint8Array {
  const storeAt = STREAM_ROOM_BYTES + ENCODER_BYTES + 2 * PAGE_BYTES + BACKLOG_BYTES;
  const kernels = openKernels({ pages: storeAt / PAGE_BYTES + SLOTS });
  const store = new PageStore(kernels, { base: storeAt, slots: SLOTS });
  const filledPage = STREAM_ROOM_BYTES + ENCODER_BYTES;
  const zeroPage = filledPage + PAGE_BYTES;
  const copyPage = (from: number, to: number): void => kernels.copy(from, to);
  const frames: { kind: "raw" | "pages"; payload: Uint8Array }[] = [];
  const encoding = new StreamEncoding(
    {
      bytes: kernels.bytes,
      encoder: new Encoder(kernels, store, STREAM_ROOM_BYTES),
      store,
      filledPage,
      zeroPage,
      backlog: new Backlog({ copyPage, base: zeroPage + PAGE_BYTES, zeroPage }),
      postcopyRam: true,
    },
    {
      raw: (parts) => void frames.push({ kind: "raw", payload: joined(parts) }),
      pages: (batch) => void frames.push({ kind: "pages", payload: joined(batchParts(batch)) }),
      hasRoom: () => true,
      hasUrgentRoom: () => true,
      stepBytes: () => 2 ** 18,
    },
  );
  kernels.bytes.set(stream);
  encoding.take(0, stream.byteLength);
  encoding.flush();
  return asFrames(frames);
}
for (const [name, bytes] of Object.entries(streams)) put("rebuild", name, session(bytes));
