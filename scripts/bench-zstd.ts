/**
 * zstd streams over a guest's memory: `node scripts/bench-zstd.ts IMAGE [RUNS] [--node]`, where IMAGE is a dump (QMP `pmemsave`) of a stopped
 * guest. Zero pages are left out; then the same again with each content once. MB are 10⁶ bytes of pages per second of CPU
 * time, all threads, the best of the runs; memory is what the contexts say. `--node` takes the implementation by node:zlib.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

import { nodeZstd } from "../src/relay/zstd-node.ts";
import { compressBound, zstd } from "../src/relay/zstd.ts";

const PAGE_BYTES = 4096;
const LEVELS = [-3, -1, 1, 3];
const WINDOW_LOGS = [22, 24, 26];
const FLUSH_KIB = [64, 256];

const [image = "", runs = "2", which] = process.argv.slice(2);
const codec = which === "--node" ? nodeZstd : zstd();

const cpuMs = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};

function pagesOf(memory: Buffer, once: boolean): Buffer {
  const zero = Buffer.alloc(PAGE_BYTES);
  const seen = new Set<string>();
  const kept: Buffer[] = [];
  for (let at = 0; at < memory.length; at += PAGE_BYTES) {
    const page = memory.subarray(at, at + PAGE_BYTES);
    if (page.equals(zero)) continue;
    if (once) {
      const name = createHash("sha256").update(page).digest("base64");
      if (seen.has(name)) continue;
      seen.add(name);
    }
    kept.push(page);
  }
  return Buffer.concat(kept);
}

interface Result {
  readonly ratio: number;
  readonly inMBs: number;
  readonly outMBs: number;
  readonly inMiB: number;
  readonly outMiB: number;
}

async function measure(
  data: Buffer,
  flush: number,
  options: { level: number; windowLog: number; longDistance: boolean },
): Promise<Result> {
  const compressor = codec.makeCompressor(options);
  const decompressor = codec.makeDecompressor({ windowLogMax: options.windowLog });
  const output = new Uint8Array(compressBound(flush));
  const restored = new Uint8Array(flush);
  let [bytes, inMs, outMs] = [0, 0, 0];
  for (let at = 0; at < data.length; at += flush) {
    const piece = data.subarray(at, at + flush);
    const began = cpuMs();
    const length = await compressor.write(piece, output);
    const packed = cpuMs();
    const got = await decompressor.write(output.subarray(0, length), restored.subarray(0, piece.length));
    outMs += cpuMs() - packed;
    inMs += packed - began;
    bytes += length;
    if (got !== piece.length || !piece.equals(restored.subarray(0, got)))
      throw new Error("not what was sent");
  }
  const result = {
    ratio: data.length / bytes,
    inMBs: data.length / inMs / 1000,
    outMBs: data.length / outMs / 1000,
    inMiB: (compressor.memoryBytes() ?? 0) / 2 ** 20,
    outMiB: (decompressor.memoryBytes() ?? 0) / 2 ** 20,
  };
  compressor.close();
  decompressor.close();
  return result;
}

const memory = readFileSync(image);
for (const once of [false, true]) {
  const data = pagesOf(memory, once);
  console.log(
    `\n${once ? "each content once" : "all non-zero pages"}: ${data.length / PAGE_BYTES} pages, ${(data.length / 1e6).toFixed(0)} MB, zstd ${codec.name}`,
  );
  console.log("level window ldm  flush KiB   ratio  compress MB/s  decode MB/s  MiB held");
  for (const level of LEVELS) {
    for (const windowLog of WINDOW_LOGS) {
      for (const longDistance of [false, true]) {
        for (const flushKib of FLUSH_KIB) {
          let best: Result | undefined;
          for (let run = 0; run < Number(runs); run += 1) {
            const one = await measure(data, flushKib * 1024, { level, windowLog, longDistance });
            best = {
              ...one,
              inMBs: Math.max(one.inMBs, best?.inMBs ?? 0),
              outMBs: Math.max(one.outMBs, best?.outMBs ?? 0),
            };
          }
          if (best === undefined) continue;
          const cells = [level, windowLog, longDistance ? "yes" : "no", flushKib].map(String);
          console.log(
            `${cells.map((cell, index) => cell.padStart([5, 6, 4, 10][index] ?? 0)).join(" ")} ${best.ratio.toFixed(2).padStart(7)} ${best.inMBs.toFixed(0).padStart(13)} ${best.outMBs.toFixed(0).padStart(12)}  ${best.inMiB.toFixed(0)} + ${best.outMiB.toFixed(0)}`,
          );
        }
      }
    }
  }
}
