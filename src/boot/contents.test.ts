/** Which pages of a kernel and an initial file system a guest is expected to hold. */
import { gzipSync } from "node:zlib";

import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { bzImageOf, elfOf, zstdWithLength } from "../../test/fakes/packed.ts";
import { writeCpio } from "../lab/guest/cpio.ts";
import { PAGE_BYTES } from "../page/types.ts";
import { type BootFiles, bootPages } from "./contents.ts";
import { initrdFiles } from "./initrd.ts";
import { kernelSegments } from "./kernel.ts";
import { unpack } from "./unpack.ts";

const filled = (length: number, fill: number): Uint8Array => new Uint8Array(length).fill(fill);
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const archive = (...files: readonly Uint8Array[]): Uint8Array =>
  writeCpio([
    { kind: "directory", path: "bin" },
    ...files.map((data, index) => ({ kind: "file" as const, path: `bin/${index}`, data })),
  ]);
const joined = (...parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));

describe("a kernel", () => {
  const segments = [filled(5_000, 1), filled(100, 2)];
  const elf = elfOf(segments);
  it.each([
    ["unpacked", elf],
    ["packed", bzImageOf(zstdWithLength(elf))],
    ["not packed in its image", bzImageOf(elf)],
  ])("%s gives its loaded segments", (_name, image) => {
    expect(kernelSegments(image, unpack).map(hex)).toEqual(segments.map(hex));
  });

  it("cut or changed anywhere gives what is there, and never fails", () => {
    const image = bzImageOf(zstdWithLength(elf));
    for (let cut = 0; cut < image.length; cut += 7) kernelSegments(image.subarray(0, cut), unpack);
    fc.assert(
      fc.property(fc.nat(elf.length - 1), fc.nat(255), (at, byte) => {
        const changed = elf.slice();
        changed[at] = byte;
        for (const segment of kernelSegments(changed, unpack))
          expect(segment.length).toBeLessThanOrEqual(elf.length);
      }),
    );
    expect(kernelSegments(filled(10_000, 7), unpack)).toEqual([]);
  });
});

describe("an initial file system", () => {
  const files = [filled(5_000, 1), filled(9, 2), filled(4_096, 3)];
  const given = (bytes: Uint8Array): string[] =>
    initrdFiles(bytes, unpack)
      .filter((data) => data.length > 0)
      .map(hex);

  it("gives the files of all its archives, the last one packed or not", () => {
    const [early, ...rest] = files as [Uint8Array, ...Uint8Array[]];
    expect(given(archive(...files))).toEqual(files.map(hex));
    for (const last of [
      archive(...rest),
      new Uint8Array(gzipSync(archive(...rest))),
      zstdWithLength(archive(...rest)),
    ])
      expect(given(joined(archive(early), filled(300, 0), last))).toEqual(files.map(hex));
  });

  it("gives those before what is damaged", () => {
    const one = archive(files[0] ?? filled(0, 0));
    expect(given(joined(one, filled(400, 5)))).toEqual([hex(files[0] ?? filled(0, 0))]);
    for (let cut = 0; cut < one.length; cut += 11)
      expect(given(joined(one, one.subarray(0, cut))).length).toBeLessThan(3);
  });
});

it("whole pages are given, each file from the beginning of one, zeros left out", () => {
  const files: BootFiles = {
    kernel: bzImageOf(elfOf([joined(filled(PAGE_BYTES, 1), filled(PAGE_BYTES, 0), filled(10, 2))])),
    initrd: archive(filled(PAGE_BYTES + 1, 3), filled(2, 4)),
  };
  const pages = [...bootPages(files, unpack)];
  expect(pages.every((page) => page.length === PAGE_BYTES)).toBe(true);
  const padded = (length: number, fill: number): string =>
    hex(joined(filled(length, fill), filled(PAGE_BYTES - length, 0)));
  const got = pages.map(hex);
  for (const want of [
    padded(PAGE_BYTES, 3),
    padded(1, 3),
    padded(2, 4),
    padded(PAGE_BYTES, 1),
    padded(10, 2),
  ])
    expect(got).toContain(want);
  expect(got).not.toContain(padded(0, 0));
  // Two of the file system's first file, one of its second, three of the image itself, two of the kernel's segment.
  expect(got.length).toBe(2 + 1 + 3 + 2);
});
