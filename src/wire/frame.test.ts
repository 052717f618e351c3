/** Frames and hellos: cut anywhere they read the same, changed anywhere they are refused. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { crc32, joined, sha256 } from "../../test/fakes/wire-pair.ts";
import { CodedError } from "../std/errors.ts";
import { ByteQueue } from "./byte-queue.ts";
import {
  abortFrame,
  abortOf,
  Codec,
  creditFrame,
  creditOf,
  encodeFrame,
  endFrame,
  FRAME_HEADER_BYTES,
  pagesFrame,
  pingFrame,
  plain,
  pongFrame,
  rawFrame,
  returnFrame,
  type Frame,
} from "./frame.ts";
import { FRAME_SLOT_BYTES, FrameReader } from "./frame-reader.ts";
import {
  beginningOf,
  encodeHello,
  HELLO_BYTES,
  Role,
  SESSION_BYTES,
  tryReadHello,
  type Hello,
} from "./hello.ts";
import {
  BATCH_PAGES_MAX,
  FRAME_NUMBER_MAX,
  FRAME_PAYLOAD_BYTES_MAX,
  STORE_SLOTS_DEFAULT,
  WINDOW_FRAMES,
} from "./limits.ts";

const refusalOf = (act: () => unknown): string => {
  try {
    act();
  } catch (error) {
    if (error instanceof CodedError) return error.code;
    throw error;
  }
  return "";
};

const queued = (...chunks: Uint8Array[]): ByteQueue => {
  const queue = new ByteQueue();
  for (const chunk of chunks) queue.push(chunk);
  return queue;
};

const reading = (overTls = false): FrameReader =>
  new FrameReader(overTls ? undefined : crc32, () => new Uint8Array(FRAME_SLOT_BYTES).fill(0xa5));

/** What the bytes bring to an end; each payload as it was when it was told. */
const read = (reader: FrameReader, ...chunks: readonly Uint8Array[]): Frame[] => {
  const frames: Frame[] = [];
  for (const chunk of chunks) {
    reader.push(chunk, (frame) => frames.push({ ...frame, payload: frame.payload.slice() }));
  }
  return frames;
};

const bytesOf = (frame: Frame, overTls = false): Uint8Array =>
  joined(encodeFrame(frame, overTls ? undefined : crc32));
const token = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
const one = Uint8Array.of(0x51, 0x45, 0x56, 0x4d);

const samples: readonly Frame[] = [
  rawFrame(1, plain(one)),
  pagesFrame(2, { codec: Codec.zstd, rawBytes: 5000, payload: one }),
  returnFrame(3, { codec: Codec.lz4, rawBytes: 9, payload: one }),
  endFrame(4),
  creditFrame(31),
  pingFrame(token),
  pongFrame(token),
  abortFrame("WIRE_DAMAGED", "A frame arrived changed."),
];

test("a frame is the bytes that docs/wire.md draws", () => {
  // CRC-32 of 00000001 00000004 01 00 0000 00000004 00000000 5145564d.
  const check = crc32(Buffer.from("00000001000000040100000000000004000000005145564d", "hex"));
  const start = "00000001000000040100000000000004";
  expect(Buffer.from(bytesOf(rawFrame(1, plain(one)))).toString("hex")).toBe(
    `${start}${check.toString(16).padStart(8, "0")}5145564d`,
  );
  // Over TLS there is none.
  expect(Buffer.from(bytesOf(rawFrame(1, plain(one)), true)).toString("hex")).toBe(
    `${start}000000005145564d`,
  );
});

test("a hello is the bytes that docs/wire.md draws", () => {
  const start =
    // magic, version, role, stripe, stripes, codecs, zero; payload limit, window, batch pages, slots
    ["47445754", "0004", "01", "00", "02", "02", "0000", "00102000", "0020", "0100", "00006000"].join("");
  const rest = `000000000000002a00000000000000070000000000000005${"ab".repeat(16)}`;
  const check = sha256([Buffer.from(`${start}${rest}${"00".repeat(16)}`, "hex")]);
  expect(Buffer.from(encodeHello(hello, sha256)).toString("hex")).toBe(
    start + rest + Buffer.from(check.subarray(0, 16)).toString("hex"),
  );
});

test("frames survive every way of cutting the stream in two", () => {
  const stream = joined(samples.map((sample) => bytesOf(sample)));
  for (let cut = 0; cut <= stream.byteLength; cut += 1) {
    expect(read(reading(), stream.subarray(0, cut), stream.subarray(cut))).toEqual(samples);
  }
});

test("frames survive any cutting at all", () => {
  const stream = joined(samples.map((sample) => bytesOf(sample)));
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 60 }), (sizes) => {
      const reader = reading();
      const frames: Frame[] = [];
      let at = 0;
      for (const size of [...sizes, stream.byteLength]) {
        frames.push(...read(reader, stream.subarray(at, at + size)));
        at += size;
      }
      expect(frames).toEqual(samples);
    }),
  );
});

test("any one bit that changed is refused, or leaves the frame incomplete", () => {
  for (const sample of samples) {
    const bytes = bytesOf(sample);
    for (let bit = 0; bit < bytes.byteLength * 8; bit += 1) {
      const changed = bytes.slice();
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      let got: Frame[] = [];
      const code = refusalOf(() => {
        got = read(reading(), changed);
      });
      expect(got).toEqual([]);
      // Incomplete only for a length that grew: then more is waited for, at most one payload.
      if (code === "") expect(bit >> 3).toBeLessThan(8);
    }
  }
});

const header = (fields: Partial<Record<"number" | "length" | "kind" | "codec" | "zero" | "raw", number>>) => {
  const bytes = new Uint8Array(FRAME_HEADER_BYTES);
  const out = new DataView(bytes.buffer);
  out.setUint32(0, fields.number ?? 1);
  out.setUint32(4, fields.length ?? 10);
  out.setUint8(8, fields.kind ?? 1);
  out.setUint8(9, fields.codec ?? 0);
  out.setUint16(10, fields.zero ?? 0);
  out.setUint32(12, fields.raw ?? fields.length ?? 10);
  return bytes;
};

test.each([
  ["an unknown kind", { kind: 9 }],
  ["kind 0", { kind: 0 }],
  ["an unknown codec", { codec: 4 }],
  ["reserved bytes in use", { zero: 1 }],
  ["a payload over the limit", { length: FRAME_PAYLOAD_BYTES_MAX + 1, raw: 1, codec: 1 }],
  ["a raw length over the limit", { raw: FRAME_PAYLOAD_BYTES_MAX + 1, codec: 1 }],
  ["a raw length of nothing", { raw: 0, codec: 1 }],
  ["no codec and two lengths", { raw: 11 }],
  ["a codec and no payload", { length: 0, raw: 10, codec: 1 }],
  ["a data frame outside the order", { number: 0 }],
  ["an end with a payload", { kind: 3 }],
  ["a compressed credit", { kind: 5, number: 0, length: 3, raw: 4, codec: 1 }],
  ["a long ping", { kind: 6, number: 0, length: 9 }],
  ["a ping within the order", { kind: 6, number: 1, length: 8 }],
  ["an endless abort", { kind: 8, number: 0, length: 2000 }],
] as const)("a header alone is enough to refuse %s", (_name, fields) => {
  expect(read(reading(), header({}), new Uint8Array(9))).toEqual([]);
  expect(refusalOf(() => read(reading(), header(fields)))).toBe("WIRE_GARBAGE");
});

test("a check where TLS guards the bytes is refused, and none where nothing does", () => {
  const sample = rawFrame(1, plain(one));
  expect(read(reading(true), bytesOf(sample, true))).toEqual([sample]);
  expect(refusalOf(() => read(reading(true), bytesOf(sample)))).toBe("WIRE_DAMAGED");
  expect(refusalOf(() => read(reading(), bytesOf(sample, true)))).toBe("WIRE_DAMAGED");
});

test("a reader asks for no more than a frame and the header behind it, and never for nothing", () => {
  const reader = reading();
  const stream = joined([...samples, ...samples].map((sample) => bytesOf(sample)));
  const frames: Frame[] = [];
  for (let at = 0; at < stream.byteLength;) {
    const { space } = reader;
    expect(space.byteLength).toBeGreaterThan(0);
    expect(space.byteLength).toBeLessThanOrEqual(FRAME_SLOT_BYTES);
    const part = stream.subarray(at, at + space.byteLength);
    space.set(part);
    at += part.byteLength;
    reader.filled(part.byteLength, (frame) => frames.push({ ...frame, payload: frame.payload.slice() }));
  }
  expect(frames).toEqual([...samples, ...samples]);
});

test("a slot is taken for a frame of the order alone, once its header was accepted", () => {
  let taken = 0;
  const reader = new FrameReader(crc32, () => {
    taken += 1;
    return new Uint8Array(FRAME_SLOT_BYTES);
  });
  read(reader, bytesOf(pingFrame(token)), bytesOf(endFrame(1)));
  expect(taken).toBe(0);
  read(reader, bytesOf(rawFrame(2, plain(one))).subarray(0, FRAME_HEADER_BYTES - 1));
  expect(taken).toBe(0);
  read(reader, bytesOf(rawFrame(2, plain(one))).subarray(FRAME_HEADER_BYTES - 1));
  expect(taken).toBe(1);
});

test("what cannot be sent is not encoded", () => {
  const long = new Uint8Array(FRAME_PAYLOAD_BYTES_MAX + 1);
  expect(refusalOf(() => rawFrame(1, plain(long)))).toBe("WIRE_GARBAGE");
  expect(refusalOf(() => rawFrame(FRAME_NUMBER_MAX + 1, plain(one)))).toBe("WIRE_GARBAGE");
  expect(refusalOf(() => pingFrame(one))).toBe("WIRE_GARBAGE");
});

test("any bytes are read as frames, as a refusal or as not yet", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      expect(["", "WIRE_GARBAGE", "WIRE_DAMAGED"]).toContain(refusalOf(() => read(reading(), bytes)));
    }),
  );
});

test("credits and aborts are read back, and a long sentence is cut", () => {
  expect(creditOf(creditFrame(31))).toBe(31);
  expect(abortOf(abortFrame("X", "Why."))).toEqual({ code: "X", sentence: "Why." });
  expect(abortOf(abortFrame("X".repeat(999), "y".repeat(9999))).sentence).toHaveLength(1024);
  const lying = { ...abortFrame("X", "Why."), payload: Uint8Array.of(9, 1) };
  expect(refusalOf(() => abortOf(lying))).toBe("WIRE_GARBAGE");
});

const hello: Hello = {
  role: Role.source,
  stripe: 0,
  stripes: 2,
  codecs: 2,
  payloadBytesMax: FRAME_PAYLOAD_BYTES_MAX,
  windowFrames: WINDOW_FRAMES,
  batchPages: BATCH_PAGES_MAX,
  storeSlots: STORE_SLOTS_DEFAULT,
  store: { id: 42n, operations: 7n },
  boot: 5n,
  session: new Uint8Array(SESSION_BYTES).fill(0xab),
};

describe("the hello", () => {
  test("is read back, wherever it is cut, and leaves what follows", () => {
    const bytes = joined([encodeHello(hello, sha256), one]);
    for (let cut = 0; cut <= bytes.byteLength; cut += 1) {
      const queue = queued(bytes.subarray(0, cut));
      const early = tryReadHello(queue, sha256);
      queue.push(bytes.subarray(cut));
      expect(early ?? tryReadHello(queue, sha256)).toEqual(hello);
      expect(queue.peek(4)).toEqual(one);
    }
  });

  test("is read from Node's own buffers, which are left as they were", () => {
    const bytes = Buffer.concat([encodeHello(hello, sha256), one]);
    const before = Buffer.from(bytes);
    expect(tryReadHello(queued(bytes), sha256)).toEqual(hello);
    expect(bytes.equals(before)).toBe(true);
    const got = tryReadHello(queued(bytes), sha256);
    bytes.fill(0);
    expect(got?.session).toEqual(hello.session);
  });

  test("is refused with any bit changed", () => {
    const bytes = encodeHello(hello, sha256);
    for (let bit = 0; bit < HELLO_BYTES * 8; bit += 1) {
      const changed = bytes.slice();
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(refusalOf(() => tryReadHello(queued(changed), sha256))).toMatch(/^WIRE_/);
    }
  });

  test("of another version says so, whatever follows", () => {
    const bytes = Uint8Array.of(0x47, 0x44, 0x57, 0x54, 0, 1);
    expect(refusalOf(() => tryReadHello(queued(bytes), sha256))).toBe("WIRE_VERSION");
  });

  test.each([
    ["a stripe beyond its stripes", { stripe: 2 }],
    ["no stripes", { stripes: 0 }],
    ["frames too small for a batch", { payloadBytesMax: 1000 }],
    ["more than we hold back", { windowFrames: WINDOW_FRAMES + 1 }],
    ["no store", { storeSlots: 0 }],
    ["a third role", { role: 3 as Role }],
  ])("is refused with %s", (_name, wrong) => {
    expect(refusalOf(() => encodeHello({ ...hello, ...wrong }, sha256))).toBe("WIRE_GARBAGE");
  });

  test("begins with what was kept only when both sides have been through the same, else with the same boot files", () => {
    const other = { ...hello, role: Role.target };
    const empty = { id: 0n, operations: 0n };
    expect(beginningOf(hello, other)).toBe("kept");
    for (const store of [{ id: 42n, operations: 8n }, { id: 43n, operations: 7n }, empty])
      expect(beginningOf(hello, { ...other, store })).toBe("boot");
    expect(beginningOf({ ...hello, store: empty }, { ...other, store: empty })).toBe("boot");
    expect(beginningOf({ ...hello, store: empty }, { ...other, store: empty, boot: 6n })).toBe("empty");
    expect(beginningOf({ ...hello, boot: 0n }, { ...other, store: empty, boot: 0n })).toBe("empty");
    expect(beginningOf(hello, { ...other, storeSlots: 1 })).toBe("empty");
  });
});
