/**
 * Speed of encoder, decoder and frames over classes of pages, on one thread: `node scripts/bench-wire.ts` prints one
 * line per class. Processor time of this thread, the median of several runs. At the end: which codec level the relay would choose on some links, with this encoder's own speed as one core's.
 */
import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";

import { PAGE_BYTES } from "../src/page/types.ts";
import { openKernels } from "../src/relay/kernels.ts";
import { Phase } from "../src/wire/batch.ts";
import { ByteQueue } from "../src/wire/byte-queue.ts";
import { chooseLevelName, SAMPLES_NEEDED } from "../src/wire/choose.ts";
import { PAGE_CLASSES, noPages, sumOf } from "../src/wire/counters.ts";
import { Decoder, DECODER_BYTES } from "../src/wire/decode.ts";
import { batchParts, Encoder, ENCODER_BYTES } from "../src/wire/encode.ts";
import { encodeFrame, FRAME_HEADER_BYTES, pagesFrame, type Frame, plain } from "../src/wire/frame.ts";
import { FRAME_SLOT_BYTES, FrameReader } from "../src/wire/frame-reader.ts";
import { encodeHello, Role, type Sha256, tryReadHello } from "../src/wire/hello.ts";
import { FRAME_PAYLOAD_BYTES_MAX, STORE_SLOTS_DEFAULT, WINDOW_FRAMES } from "../src/wire/limits.ts";
import { FrameOrder } from "../src/wire/order.ts";
import { PageStore } from "../src/wire/store.ts";

const PAGES = 16_384;
const RUNS = 5;
/** Less cannot be told from nothing. */
const TICK_MS = 4;
const SLOTS = STORE_SLOTS_DEFAULT;
const GUEST_BYTES = PAGES * PAGE_BYTES;

const cpuMs = (): number => {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
};

const sha256: Sha256 = (parts) => {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
};

const sending = openKernels({ pages: PAGES + ENCODER_BYTES / PAGE_BYTES + SLOTS });
const receiving = openKernels({ pages: DECODER_BYTES / PAGE_BYTES + SLOTS });

let state = 1;
const random = (): number => {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return state >>> 0;
};

const words = new Uint32Array(sending.bytes.buffer, 0, GUEST_BYTES / 4);
const fillRandom = (): void => {
  for (let at = 0; at < words.length; at += 1) words[at] = random();
};
/** Eight edits of 16 bytes in each page. */
const edit = (): void => {
  for (let page = 0; page < PAGES; page += 1) {
    for (let edits = 0; edits < 8; edits += 1) {
      const at = page * 1024 + (random() % 1020);
      for (let word = 0; word < 4; word += 1) words[at + word] = random();
    }
  }
};

class Pair {
  readonly encoder: Encoder;
  readonly decoder: Decoder;
  readonly #reader = new FrameReader(crc32, () => new Uint8Array(FRAME_SLOT_BYTES));
  readonly #order = new FrameOrder<Frame>();
  #number = 0;
  encodeMs = 0;
  frameMs = 0;
  decodeMs = 0;
  wireBytes = 0;
  counters = noPages();

  constructor(proofs: boolean) {
    const sent = new PageStore(sending, { base: GUEST_BYTES + ENCODER_BYTES, slots: SLOTS });
    const received = new PageStore(receiving, { base: DECODER_BYTES, slots: SLOTS });
    for (const store of [sent, received]) {
      for (const block of [0, 1, 2, 3]) store.addBlock(0, block, PAGES);
    }
    this.encoder = new Encoder(sending, sent, GUEST_BYTES);
    if (proofs) this.encoder.proveWith(sha256);
    this.decoder = new Decoder(receiving, received, 0);
  }

  /** The guest's pages once, as pages of one block; stage by stage, because a thread's time is known to the tick. */
  pass(block: number, phase: Phase): void {
    const batches: Uint8Array[] = [];
    this.counters = noPages();
    this.encoder.begin(0, phase);
    const began = cpuMs();
    for (let page = 0; page < PAGES; page += 1) {
      this.encoder.add(page * PAGE_BYTES, block, page);
      if (!this.encoder.isFull) continue;
      const batch = this.encoder.take();
      if (batch === undefined) continue;
      batches.push(Buffer.concat(batchParts(batch)));
      this.counters = sumOf(this.counters, batch.counters);
    }
    const encoded = cpuMs();
    const carried = batches.map((batch) => this.#carry(batch));
    const framed = cpuMs();
    for (const bytes of carried) this.decoder.decode(bytes, 0, phase);
    this.decodeMs = cpuMs() - framed;
    this.frameMs = framed - encoded;
    this.encodeMs = encoded - began;
    this.wireBytes = carried.reduce((sum, bytes) => sum + FRAME_HEADER_BYTES + bytes.byteLength, 0);
  }

  /** Into a frame, checked out of it, in order. */
  #carry(bytes: Uint8Array): Uint8Array {
    this.#number += 1;
    for (const part of encodeFrame(pagesFrame(this.#number, plain(bytes)), crc32)) {
      this.#reader.push(part, (frame) => this.#order.put(frame));
    }
    return this.#order.take()?.payload ?? bytes;
  }
}

const kpps = (ms: number): string =>
  `${ms < TICK_MS ? "> " : ""}${(PAGES / Math.max(ms, TICK_MS)).toFixed(0)} k/s`.padStart(12);

interface Speed {
  readonly encodeMs: number;
  readonly frameMs: number;
  readonly decodeMs: number;
}

/** `prepare` is not measured. */
function measure(name: string, phase: Phase, prepare: (pair: Pair) => number, proofs = false): Speed {
  const runs: Speed[] = [];
  let mix = "";
  let wire = 0;
  for (let run = 0; run < RUNS; run += 1) {
    const pair = new Pair(proofs);
    pair.pass(prepare(pair), phase);
    runs.push(pair);
    wire = pair.wireBytes / PAGES;
    mix = PAGE_CLASSES.filter((kind) => pair.counters[kind].pages > 0)
      .map((kind) => `${kind} ${pair.counters[kind].pages}`)
      .join(", ");
  }
  const middle = (key: keyof Speed): number =>
    runs.map((run) => run[key]).sort((a, b) => a - b)[RUNS >> 1] ?? 0;
  const median = { encodeMs: middle("encodeMs"), frameMs: middle("frameMs"), decodeMs: middle("decodeMs") };
  const columns = [median.encodeMs, median.frameMs, median.decodeMs].map(kpps).join("");
  console.log(`${name.padEnd(34)}${columns}  ${wire.toFixed(1).padStart(7)} B/page  ${mix}`);
  return median;
}

console.log(`${"pages".padEnd(34)}      encode       frame      decode`);
measure("zero", Phase.preCopy, () => {
  words.fill(0);
  return 0;
});
fillRandom();
const literal = measure("literal", Phase.preCopy, () => 0);
measure("unchanged", Phase.preCopy, (pair) => {
  pair.pass(0, Phase.preCopy);
  return 0;
});
measure("own delta, 8 × 16 B", Phase.preCopy, (pair) => {
  pair.pass(0, Phase.preCopy);
  edit();
  return 0;
});
measure("duplicate, other block", Phase.preCopy, (pair) => {
  pair.pass(0, Phase.preCopy);
  return 1;
});
measure("duplicate of itself, post-copy", Phase.postCopy, (pair) => {
  pair.pass(0, Phase.preCopy);
  return 0;
});
measure("similar, 8 × 16 B", Phase.preCopy, (pair) => {
  pair.pass(0, Phase.preCopy);
  edit();
  return 1;
});
const flood = (pair: Pair): number => {
  for (const block of [0, 1, 2]) {
    fillRandom();
    pair.pass(block, Phase.preCopy);
  }
  fillRandom();
  return 3;
};
measure("literal, store full", Phase.preCopy, flood);
measure("literal, store full, with proofs", Phase.preCopy, flood, true);

const hello = {
  role: Role.source,
  stripe: 0,
  stripes: 1,
  codecs: 2,
  payloadBytesMax: FRAME_PAYLOAD_BYTES_MAX,
  windowFrames: WINDOW_FRAMES,
  batchPages: 256,
  storeSlots: SLOTS,
  store: { id: 0n, operations: 0n },
  boot: 0n,
  session: new Uint8Array(16),
};
const queue = new ByteQueue();
queue.push(encodeHello(hello, sha256));
console.log(`\nhello read back: ${tryReadHello(queue, sha256) !== undefined}`);

/** Of one core, what the encoder itself leaves for the codec. */
const encoderCores = (linkBytesPerSecond: number): number =>
  Math.min(1, linkBytesPerSecond / (GUEST_BYTES / (literal.encodeMs / 1000)));
for (const mbit of [100, 1000, 2500, 10_000]) {
  const linkBytesPerSecond = mbit * 125_000;
  const chosen = [1, 2, 8].map((cores) => {
    const sample = { linkBytesPerSecond, cpuCores: cores - encoderCores(linkBytesPerSecond), levels: {} };
    const samples = Array.from({ length: SAMPLES_NEEDED }, () => sample);
    return `${cores} cores ${chooseLevelName({ current: "off", samples })}`;
  });
  console.log(`${String(mbit).padStart(6)} Mbit/s: ${chosen.join(", ")}`);
}
