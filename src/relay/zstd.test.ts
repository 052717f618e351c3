/** One contract, two implementations, every pair of them: what one side writes the other reads. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { CodedError } from "../std/errors.ts";
import { nativeZstd } from "./zstd-native.ts";
import { nodeZstd } from "./zstd-node.ts";
import { compressBound, type Compressor, type Decompressor, type Zstd, zstd } from "./zstd.ts";

const native = nativeZstd();
const all = native === null ? [nodeZstd] : [native, nodeZstd];
const pairs = all.flatMap((one) => all.map((other) => [`${one.name} to ${other.name}`, one, other] as const));

const MIB = 2 ** 20;
const WINDOW_LOG = 20;
const options = { level: 1, windowLog: WINDOW_LOG, longDistance: true };

const random = (seed: number, length: number): Uint8Array => {
  let state = seed | 1;
  const words = new Uint32Array((length + 3) >> 2);
  for (let at = 0; at < words.length; at += 1) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[at] = state;
  }
  return new Uint8Array(words.buffer, 0, length);
};

/** Pieces like pages: noise, zeros, and text that repeats. */
const piece = fc
  .tuple(fc.integer(), fc.integer({ min: 0, max: 70_000 }), fc.constantFrom("noise", "zero", "text"))
  .map(([seed, length, kind]) => {
    if (kind === "zero") return new Uint8Array(length);
    const bytes = random(seed, length);
    return kind === "noise" ? bytes : bytes.map((byte, at) => 97 + ((byte & at) % 7));
  });

const packed = async (compressor: Compressor, input: Uint8Array): Promise<Uint8Array> => {
  const output = new Uint8Array(compressBound(input.length));
  return output.subarray(0, await compressor.write(input, output));
};

const unpacked = async (
  decompressor: Decompressor,
  input: Uint8Array,
  length: number,
): Promise<Uint8Array> => {
  const output = new Uint8Array(length);
  return output.subarray(0, await decompressor.write(input, output));
};

const same = (one: Uint8Array, other: Uint8Array): boolean => Buffer.compare(one, other) === 0;

const codeOf = async (work: Promise<unknown>): Promise<string> => {
  try {
    await work;
    return "none";
  } catch (error) {
    return error instanceof CodedError ? error.code : `not coded: ${String(error)}`;
  }
};

test("Node's own zstd is reached on this platform, and taken", () => {
  expect(zstd().name).toBe("native");
});

describe.each(pairs)("a stream from %s", (_name, from, to) => {
  test("is decoded piece by piece, whatever the pieces and the levels", async () => {
    const story = fc.array(fc.tuple(piece, fc.option(fc.constantFrom(-5, -1, 1, 3, 6))), { maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(story, async (steps) => {
        using compressor = closing(from.makeCompressor(options));
        using decompressor = closing(to.makeDecompressor({ windowLogMax: WINDOW_LOG }));
        for (const [bytes, level] of steps) {
          if (level !== null) compressor.setLevel(level);
          const sent = await packed(compressor, bytes);
          expect(same(await unpacked(decompressor, sent, bytes.length), bytes)).toBe(true);
        }
        const last = new Uint8Array(compressBound(0));
        const end = last.subarray(0, await compressor.end(last));
        expect(await unpacked(decompressor, end, 1)).toHaveLength(0);
        const after = await packed(compressor, random(1, 100));
        expect(same(await unpacked(decompressor, after, 100), random(1, 100))).toBe(true);
      }),
      { numRuns: 30 },
    );
  });

  test("may arrive in cuts of any size", async () => {
    using compressor = closing(from.makeCompressor(options));
    const pieces = [random(1, 9000), new Uint8Array(50_000), random(1, 9000)];
    const sent: Uint8Array[] = [];
    for (const bytes of pieces) sent.push(Uint8Array.from(await packed(compressor, bytes)));
    const stream = Buffer.concat(sent);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(stream.length), { maxLength: 8 }), async (cuts) => {
        using decompressor = closing(to.makeDecompressor({ windowLogMax: WINDOW_LOG }));
        const places = [0, ...cuts.toSorted((a, b) => a - b), stream.length];
        const parts: Uint8Array[] = [];
        for (const [index, end] of places.slice(1).entries()) {
          parts.push(await unpacked(decompressor, stream.subarray(places[index], end), 70_000));
        }
        expect(same(Buffer.concat(parts), Buffer.concat(pieces))).toBe(true);
      }),
      { numRuns: 20 },
    );
  });

  test("remembers what was sent before: a repeat costs next to nothing", async () => {
    using compressor = closing(from.makeCompressor(options));
    const bytes = random(3, 100_000);
    expect((await packed(compressor, bytes)).length).toBeGreaterThan(100_000);
    expect((await packed(compressor, bytes)).length).toBeLessThan(200);
  });

  test("damaged on its way never gives its bytes as if nothing had happened", async () => {
    using compressor = closing(from.makeCompressor(options));
    const bytes = random(5, 20_000).map((byte) => byte & 0x1f);
    const sent = Uint8Array.from(await packed(compressor, bytes));
    const room = new Uint8Array(compressBound(0));
    const end = room.slice(0, await compressor.end(room));
    await fc.assert(
      fc.asyncProperty(fc.nat(sent.length - 1), fc.integer({ min: 1, max: 255 }), async (at, flip) => {
        using decompressor = closing(to.makeDecompressor({ windowLogMax: WINDOW_LOG }));
        const damaged = Uint8Array.from(sent);
        damaged[at] = (damaged[at] ?? 0) ^ flip;
        try {
          const got = await unpacked(decompressor, damaged, bytes.length);
          // Not every fault shows in the piece itself; the checksum at the end is over all of them.
          const rest = await unpacked(decompressor, end, bytes.length);
          const total = Buffer.concat([got, rest]);
          // A bit may mean nothing, or have the decoder wait for more: then the length tells.
          expect(same(total, bytes) || got.length < bytes.length).toBe(true);
        } catch (error) {
          expect(await codeOf(Promise.reject(error as Error))).toBe("PEER_GARBAGE");
        }
      }),
      { numRuns: 150 },
    );
  });
});

const closing = <T extends { close(): void }>(one: T): T & Disposable =>
  Object.assign(one, { [Symbol.dispose]: () => one.close() });

describe.each(all.map((one) => [one.name, one] as const))("zstd by %s", (_name, one: Zstd) => {
  test("refuses noise, and takes nothing afterwards", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 4, maxLength: 200 }), async (noise) => {
        using decompressor = closing(one.makeDecompressor({ windowLogMax: WINDOW_LOG, host: "b" }));
        // 0xfd2fb528 begins a frame, 0x184d2a5? one to skip; this is neither.
        noise[0] = 0x11;
        expect(await codeOf(unpacked(decompressor, noise, 1000))).toBe("PEER_GARBAGE");
        using compressor = closing(one.makeCompressor(options));
        const sent = await packed(compressor, random(1, 100));
        expect(await codeOf(unpacked(decompressor, sent, 1000))).toBe("PEER_GARBAGE");
      }),
      { numRuns: 30 },
    );
  });

  test("refuses noise that begins like a frame, or gives no more than there is room for", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (noise) => {
        using decompressor = closing(one.makeDecompressor({ windowLogMax: WINDOW_LOG }));
        const frame = Buffer.concat([Buffer.from([0x28, 0xb5, 0x2f, 0xfd]), noise]);
        const memory = new Uint8Array(3000).fill(7);
        const code = await codeOf(decompressor.write(frame, memory.subarray(1000, 2000)));
        expect(["none", "PEER_GARBAGE"]).toContain(code);
        expect([memory.subarray(0, 1000), memory.subarray(2000)].flatMap((part) => [...part])).toEqual(
          Array.from({ length: 2000 }, () => 7),
        );
      }),
      { numRuns: 100 },
    );
  });

  test.each([0, 1, 99_999])("refuses a piece of 100000 bytes with room for %d", async (room) => {
    using compressor = closing(one.makeCompressor(options));
    using decompressor = closing(one.makeDecompressor({ windowLogMax: WINDOW_LOG }));
    const sent = await packed(compressor, new Uint8Array(100_000));
    expect(await codeOf(unpacked(decompressor, sent, room))).toBe("PEER_GARBAGE");
  });

  test("refuses a window larger than allowed, before memory is taken for it", async () => {
    using compressor = closing(one.makeCompressor({ ...options, windowLog: 24 }));
    using decompressor = closing(one.makeDecompressor({ windowLogMax: 23 }));
    const sent = await packed(compressor, random(1, 100));
    expect(await codeOf(unpacked(decompressor, sent, 100))).toBe("PEER_GARBAGE");
    expect(decompressor.memoryBytes() ?? 0).toBeLessThan(MIB);
  });

  test("refuses an output that may be too small, and goes on", async () => {
    using compressor = closing(one.makeCompressor(options));
    using decompressor = closing(one.makeDecompressor({ windowLogMax: WINDOW_LOG }));
    const bytes = random(1, 5000);
    const small = new Uint8Array(compressBound(bytes.length) - 1);
    await expect(compressor.write(bytes, small)).rejects.toThrow(RangeError);
    expect(same(await unpacked(decompressor, await packed(compressor, bytes), 5000), bytes)).toBe(true);
  });

  test("works on views of the kernels' memory", async () => {
    const memory = new Uint8Array(new WebAssembly.Memory({ initial: 8, maximum: 8 }).buffer);
    const bytes = random(9, 100_000);
    memory.set(bytes, 4096);
    using compressor = closing(one.makeCompressor(options));
    using decompressor = closing(one.makeDecompressor({ windowLogMax: WINDOW_LOG }));
    const output = memory.subarray(131_072, 300_000);
    const length = await compressor.write(memory.subarray(4096, 104_096), output);
    memory.fill(0, 4096, 104_096);
    const restored = memory.subarray(4096, 104_096);
    expect(await decompressor.write(output.subarray(0, length), restored)).toBe(100_000);
    expect(same(restored, bytes)).toBe(true);
  });

  test("refuses a second call while one is under way, and any after closing; closing waits for the call", async () => {
    const compressor = one.makeCompressor(options);
    const bytes = random(1, 200_000);
    const output = new Uint8Array(compressBound(bytes.length));
    const first = compressor.write(bytes, output);
    await expect(compressor.write(bytes, output)).rejects.toThrow("under way");
    compressor.close();
    compressor.close();
    expect(await first).toBeGreaterThan(0);
    await expect(compressor.write(bytes, output)).rejects.toThrow("closed");
  });

  test("makes and reads frames of their own", async () => {
    using codec = closing(one.makeFrameCodec({ level: 1 }));
    await fc.assert(
      fc.asyncProperty(piece, fc.constantFrom(-3, -1, 1, 3), async (bytes, level) => {
        codec.setLevel(level);
        const room = new Uint8Array(compressBound(bytes.length));
        const frame = room.subarray(0, await codec.compress(bytes, room));
        for (const reader of all) {
          using other = closing(reader.makeFrameCodec({ level: 1 }));
          const output = new Uint8Array(bytes.length);
          expect(await other.decompress(frame, output)).toBe(bytes.length);
          expect(same(output, bytes)).toBe(true);
          if (bytes.length > 0) {
            expect(await codeOf(other.decompress(frame, output.subarray(1)))).toBe("PEER_GARBAGE");
          }
          const damaged = Uint8Array.from(frame);
          damaged[damaged.length - 1] = (damaged.at(-1) ?? 0) ^ 1;
          expect(await codeOf(other.decompress(damaged, output))).toBe("PEER_GARBAGE");
        }
      }),
      { numRuns: 20 },
    );
  });
});

describe.runIf(native !== null)("long distance", () => {
  const PIECE = 4 * MIB;
  /** The size of a repeat of the first 4 MiB after 40 MiB of noise. */
  const repeatBytes = async (longDistance: boolean): Promise<number> => {
    using compressor = closing(
      nativeZstd()?.makeCompressor({ level: 1, windowLog: 26, longDistance }) ??
        zstd().makeCompressor(options),
    );
    const output = new Uint8Array(compressBound(PIECE));
    for (let seed = 1; seed <= 11; seed += 1) await compressor.write(random(seed * 7919, PIECE), output);
    return compressor.write(random(7919, PIECE), output);
  };

  test("finds a repeat 44 MB back, which the level alone does not", async () => {
    expect(await repeatBytes(true)).toBeLessThan(PIECE / 100);
    expect(await repeatBytes(false)).toBeGreaterThan(PIECE / 2);
  });

  test("holds memory in proportion to the window", async () => {
    for (const windowLog of [20, 22, 24]) {
      using compressor = closing(zstd().makeCompressor({ ...options, windowLog }));
      using decompressor = closing(zstd().makeDecompressor({ windowLogMax: windowLog }));
      for (let seed = 1; seed <= 8; seed += 1) {
        const bytes = random(seed, 4 * MIB);
        await unpacked(decompressor, await packed(compressor, bytes), bytes.length);
      }
      const window = 2 ** windowLog;
      expect(compressor.memoryBytes()).toBeLessThan(2 * window + 4 * MIB);
      expect(decompressor.memoryBytes()).toBeLessThan(window + MIB);
    }
  });
});
