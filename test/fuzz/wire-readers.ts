/** The readers of what the other relay says: hello, frames, their order, batches, deltas, and both together rebuilt. */
import { openKernels } from "../../src/relay/kernels.ts";
import { StreamRebuild } from "../../src/relay/rebuild.ts";
import { PAGE_BYTES, type Kernels } from "../../src/page/types.ts";
import { Phase } from "../../src/wire/batch.ts";
import { ByteQueue } from "../../src/wire/byte-queue.ts";
import { Decoder, DECODER_BYTES } from "../../src/wire/decode.ts";
import { encodeFrame, type Frame, FRAME_HEADER_BYTES, FrameKind, plain } from "../../src/wire/frame.ts";
import { FRAME_SLOT_BYTES, FrameReader } from "../../src/wire/frame-reader.ts";
import { pagesFrame, rawFrame } from "../../src/wire/frame.ts";
import { HELLO_BYTES, tryReadHello } from "../../src/wire/hello.ts";
import {
  BATCH_PAGES_MAX,
  FRAME_PAYLOAD_BYTES_MAX,
  STORE_SLOTS_MAX,
  STRIPES_MAX,
  WINDOW_FRAMES,
} from "../../src/wire/limits.ts";
import { FrameOrder } from "../../src/wire/order.ts";
import { PageStore } from "../../src/wire/store.ts";
import { crc32, sha256 } from "../fakes/wire-pair.ts";
import * as twins from "../page/twins.ts";
import { must, type Reader } from "./reader.ts";

const WIRE_CODES = ["WIRE_GARBAGE", "WIRE_DAMAGED"] as const;
const PIECE_BYTES = 900;
const CHECK_AT = 16;

/** What a correct sender's check would be. */
function sealedHello(input: Uint8Array): Uint8Array {
  if (input.length < HELLO_BYTES) return input;
  const bytes = input.slice();
  bytes.fill(0, HELLO_BYTES - 16, HELLO_BYTES);
  bytes.set(sha256([bytes.subarray(0, HELLO_BYTES)]).subarray(0, 16), HELLO_BYTES - 16);
  return bytes;
}

function sealedFrames(input: Uint8Array): Uint8Array {
  const bytes = input.slice();
  const view = new DataView(bytes.buffer);
  for (let at = 0; at + FRAME_HEADER_BYTES <= bytes.length;) {
    const end = at + FRAME_HEADER_BYTES + view.getUint32(at + 4);
    if (end > bytes.length) break;
    bytes.fill(0, at + CHECK_AT, at + FRAME_HEADER_BYTES);
    view.setUint32(at + CHECK_AT, crc32(bytes.subarray(at, end)));
    at = end;
  }
  return bytes;
}

const LONGEST = new Uint8Array(FRAME_PAYLOAD_BYTES_MAX);

/** All whole frames, each checked against what a header may say. */
export function* framesOf(input: Uint8Array): Generator<Frame> {
  let slots = 0;
  const reader = new FrameReader(crc32, () => {
    slots += 1;
    return new Uint8Array(FRAME_SLOT_BYTES);
  });
  let [taken, whole] = [0, 0];
  for (let at = 0; at < input.length; at += PIECE_BYTES) {
    const piece = input.slice(at, at + PIECE_BYTES);
    const frames: Frame[] = [];
    let refusal: unknown;
    try {
      reader.push(piece, (frame) => frames.push({ ...frame, payload: frame.payload.slice() }));
    } catch (error) {
      refusal = error;
    }
    for (const frame of frames) {
      must(frame.payload.byteLength <= FRAME_PAYLOAD_BYTES_MAX, "a payload over the limit");
      must(frame.rawBytes <= FRAME_PAYLOAD_BYTES_MAX, "a raw length over the limit");
      whole += 1;
      taken += FRAME_HEADER_BYTES + frame.payload.byteLength;
      yield frame;
    }
    if (refusal !== undefined) throw refusal;
    must(taken <= at + piece.length, `took ${taken} of ${at + piece.length}`);
    must(reader.space.byteLength > 0, "no room for what comes next");
    must(slots <= whole + 1, "more is held than one frame that is not whole");
  }
  if (input.length - taken < FRAME_HEADER_BYTES) return;
  // Whatever it waits for, one longest frame is enough.
  let isTold = false;
  try {
    reader.push(LONGEST, () => (isTold = true));
  } catch (error) {
    // Behind it comes what is no header.
    if (!isTold) throw error;
  }
  must(isTold, "it waits for more than a frame may have");
}

function readHello(input: Uint8Array): void {
  const queue = new ByteQueue();
  queue.push(input.slice());
  const hello = tryReadHello(queue, sha256);
  if (hello === undefined) return;
  must(queue.byteLength === input.length - HELLO_BYTES, "a hello of another length");
  must(hello.stripes <= STRIPES_MAX && hello.stripe < hello.stripes, "stripes");
  must(hello.windowFrames >= 1 && hello.windowFrames <= WINDOW_FRAMES, "the window");
  must(hello.batchPages >= 1 && hello.batchPages <= BATCH_PAGES_MAX, "pages of a batch");
  must(hello.storeSlots >= 1 && hello.storeSlots <= STORE_SLOTS_MAX, "slots");
  must(hello.payloadBytesMax <= FRAME_PAYLOAD_BYTES_MAX, "the payload");
}

/** Every two bytes are a frame's number. */
function readOrder(input: Uint8Array): void {
  const order = new FrameOrder<Frame>();
  let [next, put] = [1, 0];
  for (let at = 0; at + 2 <= input.length; at += 2) {
    const number = ((input[at] ?? 0) << 8) | (input[at + 1] ?? 0);
    order.put({ number, kind: FrameKind.raw, codec: 0, rawBytes: 1, payload: input });
    put += 1;
    must(order.waiting <= WINDOW_FRAMES, "more waits than the window");
    for (let frame = order.take(); frame !== undefined; frame = order.take()) {
      must(frame.number === next, `frame ${frame.number} when ${next} was next`);
      next += 1;
    }
  }
  must(put === next - 1 + order.waiting, "a frame was lost");
}

export const SLOTS = 64;
const FENCE = 0xfe;
/** Made once: the fence behind everything shows whether someone wrote where nobody may. */
const kernels: Kernels = openKernels({ pages: DECODER_BYTES / PAGE_BYTES + SLOTS + 1 });
const fenceAt = DECODER_BYTES + SLOTS * PAGE_BYTES;

/** @throws what `act` throws, or an Error when it wrote beyond what was its own. */
function fenced(act: (kernels: Kernels, store: PageStore, decoder: Decoder) => void): void {
  kernels.bytes.fill(FENCE, fenceAt);
  const store = new PageStore(kernels, { base: DECODER_BYTES, slots: SLOTS });
  try {
    act(kernels, store, new Decoder(kernels, store, 0));
  } finally {
    const fence = kernels.bytes.subarray(fenceAt);
    must(
      fence.every((byte) => byte === FENCE),
      "written beyond the store",
    );
  }
}

export const GUEST = { blocks: [40, 300] } as const;

function readBatches(input: Uint8Array): void {
  fenced((_kernels, store, decoder) => {
    for (const [block, pages] of GUEST.blocks.entries()) store.addBlock(0, block, pages);
    for (const { payload } of framesOf(input)) {
      const pages = decoder.decode(payload, 0, Phase.preCopy);
      must(pages.count <= BATCH_PAGES_MAX, "more pages than a batch has");
      for (let at = 0; at < pages.count; at += 1) {
        const limit = GUEST.blocks[pages.blocks[at] ?? -1] ?? 0;
        must((pages.pages[at] ?? 0) < limit, "a page beyond its block");
        const end = (pages.positions[at] ?? 0) + PAGE_BYTES;
        must(pages.isZero[at] === 1 || end <= DECODER_BYTES, "a page outside the decoder's memory");
      }
    }
  });
}

/** What the target does with what the source says; `SECTION_BYTES_MAX` and the package are its limits. */
function rebuild(input: Uint8Array): void {
  fenced((all, store, decoder) => {
    const stream = new StreamRebuild({ kernels: all, decoder, store, postcopyRam: true });
    for (const { kind, payload } of framesOf(input)) {
      if (kind === FrameKind.raw) stream.raw(payload);
      if (kind === FrameKind.pages) stream.pages(payload);
    }
  });
}

/** Delta first, its base made from the first byte. */
function readDelta(input: Uint8Array): void {
  const delta = input.subarray(0, 2 * PAGE_BYTES);
  const base = new Uint8Array(PAGE_BYTES).map((_, at) => at * 7 + (input[0] ?? 0));
  const [baseAt, out] = [0, PAGE_BYTES];
  // At the very end of the memory: a byte further would trap.
  const deltaAt = kernels.bytes.byteLength - delta.length;
  kernels.bytes.fill(FENCE, out, out + 2 * PAGE_BYTES);
  kernels.bytes.set(base, baseAt);
  kernels.bytes.set(delta, deltaAt);
  const expected = twins.deltaDecode(base, delta);
  const done = kernels.deltaDecode(baseAt, deltaAt, delta.length, out);
  must(done === (expected !== null), "taken by one, refused by the other");
  const got = kernels.bytes.subarray(out, out + PAGE_BYTES);
  must(
    got.every((byte, at) => byte === (expected === null ? FENCE : expected[at])),
    "another page than the twin's",
  );
  const beside = kernels.bytes.subarray(out + PAGE_BYTES, out + 2 * PAGE_BYTES);
  must(
    beside.every((byte) => byte === FENCE),
    "written beside the page",
  );
}

export const wireReaders: readonly Reader[] = [
  { name: "hello", codes: [...WIRE_CODES, "WIRE_VERSION"], read: readHello, seal: sealedHello },
  {
    name: "frames",
    codes: WIRE_CODES,
    read: (input) => void [...framesOf(input)],
    seal: sealedFrames,
  },
  { name: "order", codes: WIRE_CODES, read: readOrder },
  { name: "batch", codes: WIRE_CODES, read: readBatches, seal: sealedFrames },
  {
    name: "rebuild",
    codes: [...WIRE_CODES, "STREAM_INVALID", "STREAM_LIMIT"],
    read: rebuild,
    seal: sealedFrames,
  },
  { name: "delta", codes: [], read: readDelta },
];

/** Payloads as frames in a row, for files. */
export const asFrames = (parts: readonly { kind: "raw" | "pages"; payload: Uint8Array }[]): Uint8Array =>
  new Uint8Array(
    Buffer.concat(
      parts.flatMap(({ kind, payload }, index) =>
        encodeFrame((kind === "raw" ? rawFrame : pagesFrame)(index + 1, plain(payload)), crc32),
      ),
    ),
  );
