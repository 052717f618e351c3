import { spawnSync } from "node:child_process";
import { gzipSync } from "node:zlib";

import { expect, it } from "vitest";

import { legacyFrame, zstdWithLength } from "../../test/fakes/packed.ts";
import { unpack } from "./unpack.ts";

const bytes = new TextEncoder().encode("what a kernel is made of, again and again and again".repeat(40));
const xz = spawnSync("xz", ["--stdout"], { input: bytes, stdio: ["pipe", "pipe", "ignore"] });

it.each([
  ["gzip", gzipSync(bytes)],
  ["zstd, its length behind it", zstdWithLength(bytes)],
  ["zstd", zstdWithLength(bytes).subarray(0, -4)],
  ["LZ4", legacyFrame([bytes])],
])("unpacks %s", (_name, packed) => {
  expect(unpack(new Uint8Array(packed))).toBeDefined();
  expect(Buffer.compare(unpack(new Uint8Array(packed)) ?? Buffer.alloc(0), bytes)).toBe(0);
});

it.runIf(xz.status === 0)("unpacks xz, with what the host has", () => {
  const packed = new Uint8Array(xz.stdout);
  expect(Buffer.compare(unpack(packed) ?? Buffer.alloc(0), bytes)).toBe(0);
  expect(unpack(packed.subarray(0, -9))).toBeUndefined();
});

it("takes what is not packed, or damaged, for nothing", () => {
  expect(unpack(bytes)).toBeUndefined();
  expect(unpack(new Uint8Array())).toBeUndefined();
  for (const packed of [new Uint8Array(gzipSync(bytes)), zstdWithLength(bytes), legacyFrame([bytes])]) {
    expect(unpack(packed.subarray(0, 30))).toSatisfy(
      (got: Uint8Array | undefined) => got === undefined || got.length === 0,
    );
  }
});
