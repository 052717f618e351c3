/** What no correct relay says, as bytes behind any number of correct frames. `next` is the number the next one has. */
import { randomBytes } from "node:crypto";
import { zstdCompressSync } from "node:zlib";

import { BatchColumns, Op, Phase } from "../../src/wire/batch.ts";
import { abortFrame, creditFrame, endFrame, FrameKind, pagesFrame, plain } from "../../src/wire/frame.ts";
import { FRAME_HEADER_BYTES } from "../../src/wire/frame.ts";
import { rawFrame, returnFrame } from "../../src/wire/frame.ts";
import { BATCH_DIGEST_BYTES, FRAME_PAYLOAD_BYTES_MAX, WINDOW_FRAMES } from "../../src/wire/limits.ts";
import { crafted, frameBytes } from "./hostile.ts";

export interface Attack {
  readonly what: string;
  readonly bytes: (next: number) => Uint8Array;
  readonly code: RegExp;
}

const attack = (what: string, code: RegExp, bytes: (next: number) => Uint8Array): Attack => ({
  what,
  code,
  bytes,
});
const GARBAGE = /^WIRE_GARBAGE$/;
const one = Uint8Array.of(1);

const flipped = (bytes: Buffer, at: number): Buffer => {
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  return bytes;
};

/** Of either side, in every state. */
export const anySide: readonly Attack[] = [
  attack("bytes that are no frame", /^WIRE_(GARBAGE|DAMAGED)$/, () => Buffer.alloc(64, 0xee)),
  attack("an unknown kind", GARBAGE, (number) => crafted({ number, kind: 9 }, one)),
  attack("kind 0", GARBAGE, (number) => crafted({ number, kind: 0 }, one)),
  attack("an unknown codec", GARBAGE, (number) => crafted({ number, codec: 4 }, one)),
  attack("a codec not agreed on", GARBAGE, (number) => crafted({ number, codec: 3 }, one)),
  attack("reserved bytes in use", GARBAGE, (number) => crafted({ number, zero: 1 }, one)),
  attack("a payload over the limit", GARBAGE, (number) =>
    crafted({ number, codec: 2, length: FRAME_PAYLOAD_BYTES_MAX + 1, raw: 9 }),
  ),
  attack("a raw length over the limit", GARBAGE, (number) =>
    crafted({ number, codec: 2, raw: FRAME_PAYLOAD_BYTES_MAX + 1 }, one),
  ),
  attack("a compressed payload that is none", /^PEER_GARBAGE$/, (number) =>
    crafted({ number, codec: 2, raw: 5000 }, Buffer.alloc(90, 0xee)),
  ),
  attack("a raw length shorter than what expands", /^PEER_GARBAGE$/, (number) =>
    crafted({ number, codec: 2, raw: 10 }, zstdCompressSync(Buffer.alloc(70_000))),
  ),
  attack("a raw length longer than what expands", GARBAGE, (number) =>
    crafted({ number, codec: 2, raw: 80_000 }, zstdCompressSync(Buffer.alloc(70_000))),
  ),
  attack("a payload changed on the way", /^WIRE_DAMAGED$/, (number) =>
    flipped(crafted({ number }, one), FRAME_HEADER_BYTES),
  ),
  attack("a frame outside the order", GARBAGE, () => crafted({ number: 0 }, one)),
  attack("a frame beyond the window", GARBAGE, (number) => crafted({ number: number + WINDOW_FRAMES }, one)),
  attack("a number twice", GARBAGE, (number) =>
    frameBytes(...[1, 1].map((ahead) => rawFrame(number + ahead, plain(one)))),
  ),
  attack("a credit for what was never sent", GARBAGE, () => frameBytes(creditFrame(2 ** 32 - 1))),
  attack("a credit of nothing", GARBAGE, () => frameBytes(creditFrame(0))),
  attack("an end twice", GARBAGE, (number) => frameBytes(endFrame(number), endFrame(number + 1))),
  attack("an end with a payload", GARBAGE, (number) => crafted({ number, kind: FrameKind.end }, one)),
  attack("an abort of any length", GARBAGE, () =>
    crafted({ number: 0, kind: FrameKind.abort }, Buffer.alloc(100_000, 65)),
  ),
  attack("an abort whose code is longer than itself", GARBAGE, () =>
    crafted({ number: 0, kind: FrameKind.abort }, Uint8Array.of(200, 65, 65)),
  ),
  attack("an abort", /^PEER_REFUSED$/, () => frameBytes(abortFrame("LINK_LOST", "Because."))),
  attack("a long ping", GARBAGE, () => crafted({ number: 0, kind: FrameKind.ping }, Buffer.alloc(9))),
];

interface Page {
  readonly op: Op;
  readonly block?: number;
  readonly page?: number;
  readonly slot?: number;
}

const batch = (pages: readonly Page[], phase: Phase, vm = 0): Uint8Array => {
  const columns = new BatchColumns();
  for (const { op, block = 0, page = 0, slot } of pages) {
    columns.page(op, block, page);
    if (slot !== undefined) columns.slot(slot);
  }
  const head = columns.head(vm, phase, 0);
  const bytes = new Uint8Array(head.byteLength + BATCH_DIGEST_BYTES);
  bytes.set(head);
  return bytes;
};

const pages = (number: number, payload: Uint8Array): Uint8Array =>
  frameBytes(pagesFrame(number, plain(payload)));

/** Of a source, while pages may come in this phase. */
export const batches = (phase: Phase): readonly Attack[] => [
  attack("a batch of another guest", GARBAGE, (n) => pages(n, batch([{ op: Op.zero }], phase, 1))),
  attack("a batch of the other phase", GARBAGE, (n) =>
    pages(n, batch([{ op: Op.zero }], phase === Phase.preCopy ? Phase.postCopy : Phase.preCopy)),
  ),
  attack("a slot out of range", GARBAGE, (n) =>
    pages(n, batch([{ op: Op.duplicate, slot: 2 ** 31 - 1 }], phase)),
  ),
  attack("an empty slot", GARBAGE, (n) => pages(n, batch([{ op: Op.duplicate, slot: 255 }], phase))),
  attack("a page out of range", GARBAGE, (n) => pages(n, batch([{ op: Op.zero, page: 2 ** 24 }], phase))),
  attack("an unknown block", GARBAGE, (n) => pages(n, batch([{ op: Op.zero, block: 4000 }], phase))),
  attack("a batch of nothing", GARBAGE, (n) => pages(n, batch([], phase))),
  attack("a batch of noise", GARBAGE, (n) => pages(n, randomBytes(3000))),
  attack("pages that were changed", /^WIRE_DAMAGED$/, (n) => {
    const bytes = batch([{ op: Op.zero }], phase);
    bytes[bytes.length - 1] = 1;
    return pages(n, bytes);
  }),
];

/** Of a source only. */
export const fromSource: readonly Attack[] = [
  attack("a frame that only a target sends", GARBAGE, (n) => frameBytes(returnFrame(n, plain(one)))),
  attack("bytes behind the end", GARBAGE, (n) => frameBytes(endFrame(n), rawFrame(n + 1, plain(one)))),
];

/** Of a target only. */
export const fromTarget: readonly Attack[] = [
  attack("a frame that only a source sends", GARBAGE, (n) => frameBytes(rawFrame(n, plain(one)))),
  attack("a batch", GARBAGE, (n) => pages(n, batch([{ op: Op.zero }], Phase.preCopy))),
];

const said = (what: string, code: RegExp, hex: string): Attack =>
  attack(what, code, (n) => frameBytes(returnFrame(n, plain(Buffer.from(hex.replaceAll(" ", ""), "hex")))));
const NAME = Buffer.from("\u0006pc.ram", "latin1").toString("hex");

/** Of a target, when the source's QEMU is there to hear it. */
export const returned: readonly Attack[] = [
  said("a message of no type", /^STREAM_INVALID$/, "0063 0000"),
  said("a message over the limit", /^STREAM_LIMIT$/, "0002 ffff"),
  said("a bitmap over the limit", /^STREAM_LIMIT$/, `0005 0007 ${NAME} 0000000100000000`),
  said("a first request without a name", /^STREAM_INVALID$/, "0004 000c 0000000000000000 00001000"),
  said("a request beyond all memory", /^STREAM_LIMIT$/, `0003 0013 ff00000000000000 00001000 ${NAME}`),
  said("a request beyond its block", /^STREAM_INVALID$/, `0003 0013 0000000040000000 fffff000 ${NAME}`),
  said("a request of half a page", /^STREAM_INVALID$/, `0003 0013 0000000000000001 00001000 ${NAME}`),
  said("a request of no known block", /^STREAM_INVALID$/, "0003 0010 0000000000000000 00001000 03612e62"),
];
