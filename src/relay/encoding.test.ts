/** The source's half of a post-copy: what was asked for passes what was not, nothing passes what must come before it. */
import { beforeEach, describe, expect, it } from "vitest";

import { slowKernels } from "../../test/fakes/kernels.ts";
import { PAGE_BYTES } from "../page/types.ts";
import { encodeRecords } from "../stream/encode.ts";
import type { StreamRecord } from "../stream/records.ts";
import { Phase } from "../wire/batch.ts";
import { Decoder, DECODER_BYTES } from "../wire/decode.ts";
import { batchParts, Encoder, ENCODER_BYTES } from "../wire/encode.ts";
import { PageStore } from "../wire/store.ts";
import { Backlog, BACKLOG_BYTES } from "./backlog.ts";
import { StreamEncoding, VM } from "./encoding.ts";
import { BACKLOG_PAGES, PUSHED_BATCH_PAGES_MAX, PUSHED_BATCH_PAGES_MIN } from "./limits.ts";

const INTAKE = 2 ** 22;
const SLOTS = 64;
const PAGES = BACKLOG_PAGES + 100;
const RAM = 2;
const own = INTAKE + ENCODER_BYTES + 2 * PAGE_BYTES + BACKLOG_BYTES;

/** What was sent, as the target would read it: raw bytes in hexadecimal, batches as the numbers of their pages. */
type Sent = string | readonly number[];

let sent: Sent[];
let room: boolean;
let urgentRoom: boolean;
let step: number;
let encoding: StreamEncoding;
let bytes: Uint8Array;
let rest: Uint8Array;

beforeEach(() => {
  [sent, room, urgentRoom, rest] = [[], true, true, new Uint8Array()];
  step = 16 * PAGE_BYTES;
  const kernels = slowKernels(own + SLOTS * PAGE_BYTES);
  const theirs = slowKernels(DECODER_BYTES + SLOTS * PAGE_BYTES);
  const store = new PageStore(kernels, { base: own, slots: SLOTS });
  const theirStore = new PageStore(theirs, { base: DECODER_BYTES, slots: SLOTS });
  theirStore.addBlock(VM, 0, PAGES);
  const decoder = new Decoder(theirs, theirStore, 0);
  const zeroPage = INTAKE + ENCODER_BYTES + PAGE_BYTES;
  bytes = kernels.bytes;
  encoding = new StreamEncoding(
    {
      bytes,
      encoder: new Encoder(kernels, store, INTAKE),
      store,
      filledPage: INTAKE + ENCODER_BYTES,
      zeroPage,
      backlog: new Backlog({
        copyPage: (from, to) => kernels.copy(from, to),
        base: zeroPage + PAGE_BYTES,
        zeroPage,
      }),
      postcopyRam: true,
    },
    {
      raw: (parts) => sent.push(Buffer.concat(parts).toString("hex")),
      pages: (batch) => {
        const pages = decoder.decode(new Uint8Array(Buffer.concat(batchParts(batch))), VM, encoding.phase);
        sent.push([...pages.pages.subarray(0, pages.count)]);
      },
      hasRoom: () => room,
      hasUrgentRoom: () => urgentRoom,
      stepBytes: () => step,
    },
  );
});

/** As the intake does: what was not taken comes again, in front of the next. */
function give(...records: readonly StreamRecord[]): void {
  const all = Buffer.concat([rest, encodeRecords(records)]);
  bytes.set(all);
  const at = encoding.take(0, all.byteLength);
  rest = new Uint8Array(all.subarray(at));
}

const section = { type: "part", id: RAM } as const;
const begin = { kind: "section-begin", section } as const;
const eos = { kind: "mark", mark: "eos" } as const;
const end = { kind: "section-end", id: RAM } as const;
const page = (number: number): StreamRecord => ({
  kind: "page",
  block: "pc.ram",
  offset: number * PAGE_BYTES,
  continued: false,
  bytes: new Uint8Array(PAGE_BYTES).map((_, at) => (at * 7 + number * 31 + (at >> 4) * number) % 253),
});
const zero = (number: number): StreamRecord => ({
  kind: "zero",
  block: "pc.ram",
  offset: number * PAGE_BYTES,
  continued: false,
  fill: 0,
});
const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, at) => from + at);
const ran: StreamRecord = { kind: "section-begin", section: { type: "end", id: RAM } };

function untilPostCopy(): void {
  const usedBytes = PAGES * PAGE_BYTES;
  give(
    { kind: "header" },
    { kind: "section-begin", section: { type: "start", id: RAM, idstr: "ram", instance: 0, version: 4 } },
    { kind: "ram-size", totalBytes: usedBytes },
    { kind: "ram-block", block: { name: "pc.ram", usedBytes } },
    eos,
    end,
    { kind: "command", command: { kind: "packaged", size: 3 } },
    { kind: "package", bytes: Uint8Array.of(1, 2, 3), left: 0 } as StreamRecord,
  );
  expect(encoding.phase).toBe(Phase.postCopy);
  sent = [];
}

const pagesSent = (): number[] => sent.flatMap((each) => (typeof each === "string" ? [] : [...each]));

describe("in post-copy", () => {
  beforeEach(untilPostCopy);

  it("pages go in small batches while there is room, each once", () => {
    give(begin, ...range(0, 40).map(page), eos, end);
    expect(sent).toEqual([range(0, 16), range(16, 32), range(32, 40)]);
    expect(encoding.isIdle).toBe(true);
  });

  it.each([
    [0, PUSHED_BATCH_PAGES_MIN],
    [7 * PAGE_BYTES + 1, 7],
    [1e9, PUSHED_BATCH_PAGES_MAX],
  ])("a step of %d bytes is %d pages", (bytesAtOnce, pagesAtOnce) => {
    step = bytesAtOnce;
    give(begin, ...range(0, 80).map(page), eos, end);
    expect(sent[0]).toEqual(range(0, pagesAtOnce));
    expect(pagesSent()).toEqual(range(0, 80));
  });

  it("what need not travel does not count, and is taken along up to a batch's end", () => {
    step = 0;
    give(begin, ...range(0, 30).map(zero), ...range(30, 36).map(page), ...range(36, 140).map(zero), eos, end);
    const first = 30 + PUSHED_BATCH_PAGES_MIN;
    const second = first + PUSHED_BATCH_PAGES_MAX;
    expect(sent).toEqual([range(0, first), range(first, second), range(second, 140)]);
  });

  it("without room nothing is sent and nothing more is wanted", () => {
    room = false;
    give(begin, ...range(0, 5).map(page), eos, end);
    expect(sent).toEqual([]);
    expect(encoding.wantsMore).toBe(false);
    room = true;
    encoding.pump();
    expect(sent).toEqual([range(0, 5)]);
  });

  it("a page that waits here is sent when it is asked for, room or not, before all others", () => {
    room = false;
    give(begin, ...range(0, 50).map(page), eos, end);
    encoding.want("pc.ram", 33 * PAGE_BYTES, 2 * PAGE_BYTES);
    expect(sent).toEqual([[33, 34]]);
    room = true;
    encoding.pump();
    expect(pagesSent().sort((one, other) => one - other)).toEqual(range(0, 50));
  });

  it("for a page that is still with QEMU all is read that is in front of it", () => {
    room = false;
    encoding.want("pc.ram", 7 * PAGE_BYTES, PAGE_BYTES);
    expect([encoding.wantsMore, encoding.wantedPages]).toEqual([true, 1]);
    give(begin, ...range(0, 9).map(page), eos, end);
    expect(sent).toEqual([[7]]);
    expect([encoding.wantsMore, encoding.wantedPages]).toEqual([false, 0]);
  });

  it("a page that is under way is not waited for", () => {
    give(begin, page(3), eos, end);
    encoding.want("pc.ram", 3 * PAGE_BYTES, PAGE_BYTES);
    room = false;
    expect([encoding.wantsMore, encoding.wantedPages]).toEqual([false, 0]);
    expect(sent).toEqual([[3]]);
  });

  it("what was asked for waits only while the other side takes nothing at all", () => {
    room = urgentRoom = false;
    give(begin, ...range(0, 4).map(page), eos, end);
    encoding.want("pc.ram", 2 * PAGE_BYTES, PAGE_BYTES);
    expect(sent).toEqual([]);
    expect(encoding.wantedPages).toBe(1);
    urgentRoom = true;
    encoding.pump();
    expect(sent).toEqual([[2]]);
  });

  it("the end of RAM comes behind all pages, also those that wait", () => {
    room = false;
    give(begin, ...range(0, 20).map(page), eos, end, ran, eos, end);
    expect(sent).toEqual([]);
    expect([encoding.wantsMore, encoding.isIdle]).toEqual([false, false]);
    encoding.want("pc.ram", 19 * PAGE_BYTES, PAGE_BYTES);
    expect(sent).toEqual([[19]]);
    room = true;
    encoding.pump();
    give();
    expect(encoding.isIdle).toBe(true);
    expect(sent.slice(1)).toEqual([range(0, 16), range(16, 19), expect.any(String), ...sent.slice(4)]);
    expect(sent.slice(3).join("")).toBe(Buffer.from(encodeRecords([ran, eos, end])).toString("hex"));
  });

  it("QEMU is held back by the backlog's end, even for a page that is asked for", () => {
    room = false;
    encoding.want("pc.ram", (PAGES - 1) * PAGE_BYTES, PAGE_BYTES);
    give(begin, ...range(0, 500).map(page));
    expect(encoding.wantsMore).toBe(true);
    give(...range(500, BACKLOG_PAGES + 10).map(page));
    expect([encoding.wantsMore, rest.byteLength > 9 * PAGE_BYTES]).toEqual([false, true]);
    room = true;
    encoding.pump();
    give(...range(BACKLOG_PAGES + 10, PAGES).map(page), eos, end);
    expect(pagesSent().sort((one, other) => one - other)).toEqual(range(0, PAGES));
  });
});
