/** How fast pages are located in a stream, and written into one: node scripts/stream-speed.ts */
import { encodeRecords } from "../src/stream/encode.ts";
import { Forwarding } from "../src/stream/forwarding.ts";
import { UNIT_BYTES_MAX } from "../src/stream/limits.ts";
import { StreamParser } from "../src/stream/parser.ts";
import type { StreamRecord } from "../src/stream/records.ts";
import { StreamWriter } from "../src/stream/writer.ts";

const PAGE = 4096;
const PAGES = 4096;
const READ_BYTES = 2 ** 18;
const TOTAL_BYTES = 4e9;
const block = { name: "pc.ram", usedBytes: PAGES * PAGE };

class Counting extends Forwarding {
  pages = 0;
  verbatim(): void {}
  page(): void {
    this.pages += 1;
  }
  zero(): void {
    this.pages += 1;
  }
}

const parser = new StreamParser(new Counting());
parser.parse(
  encodeRecords([
    { kind: "header" },
    { kind: "section-begin", section: { type: "start", id: 2, idstr: "ram", instance: 0, version: 4 } },
    { kind: "ram-size", totalBytes: block.usedBytes },
    { kind: "ram-block", block },
    { kind: "mark", mark: "eos" },
    { kind: "section-end", id: 2 },
  ]),
);
const pages = Array.from({ length: PAGES }, (_, page): StreamRecord => ({
  kind: "page",
  block: block.name,
  offset: page * PAGE,
  continued: page > 0,
  bytes: new Uint8Array(PAGE).fill(page),
}));
const part = encodeRecords([
  { kind: "section-begin", section: { type: "part", id: 2 } },
  ...pages,
  { kind: "mark", mark: "eos" },
  { kind: "section-end", id: 2 },
]);

function report(what: string, work: () => number): void {
  const began = performance.now();
  let bytes = 0;
  while (bytes < TOTAL_BYTES) bytes += work();
  console.log(`${what}: ${(bytes / 1e6 / (performance.now() - began)).toFixed(1)} GB/s`);
}

// As a relay reads: into one buffer, the unread rest moved to its front.
const buffer = new Uint8Array(READ_BYTES + UNIT_BYTES_MAX);
report("located, with the copy out of a socket's buffers", () => {
  let filled = 0;
  for (let at = 0; at < part.length; at += READ_BYTES) {
    const piece = part.subarray(at, at + READ_BYTES);
    buffer.set(piece, filled);
    filled += piece.length;
    const done = parser.parse(buffer, 0, filled);
    buffer.copyWithin(0, done, filled);
    filled -= done;
  }
  return part.length;
});
report("located, where they lie", () => parser.parse(part));

const writer = new StreamWriter(new Uint8Array(2 ** 20), PAGE);
writer.addBlock(block);
writer.begin("part", 2);
report("written", () => {
  for (let page = 0; page < PAGES;) {
    if (writer.page(0, page * PAGE, part, page * PAGE)) page += 1;
    else writer.clear();
  }
  return PAGES * PAGE;
});
