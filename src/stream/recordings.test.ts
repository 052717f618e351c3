/** Recordings of real QEMUs (7.2, 16 MiB, under TCG) as test/real/stream.test.ts makes them; pages hold a filler. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { zstdDecompressSync } from "node:zlib";

import { describe, expect, test } from "vitest";

import { readReturn, readStream, returnRoundTrips, roundTrips } from "../../test/model/streams.ts";
import { FullForm } from "./return-path.ts";
import { MissingPages } from "./missing.ts";
import { packageParts } from "./package.ts";
import type { StreamRecord } from "./records.ts";
import type { RamBlock } from "./types.ts";
import { splitDevices } from "./vmdesc.ts";

const FOLDER = join(import.meta.dirname, "../../test/recordings");
const SIZES = [1, 4095, 0x1_0000];
const recorded = (name: string): Buffer => zstdDecompressSync(readFileSync(join(FOLDER, name)));
const names = readdirSync(FOLDER).filter((name) => name.endsWith(".zst"));
const resumed = (name: string) => (name.startsWith("recovery") ? { resumes: {} } : {});

test.each(names.filter((name) => name.includes(".stream.")))("%s comes back bit for bit", (name) => {
  const bytes = recorded(name);
  for (const size of SIZES) expect(roundTrips(bytes, size, resumed(name))).toBe(true);
});

test.each(names.filter((name) => name.includes(".return.")))("%s comes back bit for bit", (name) => {
  const bytes = recorded(name);
  for (const size of SIZES) expect(returnRoundTrips(bytes, size)).toBe(true);
});

test("the pre-copy's device state splits into its devices", () => {
  const last = readStream(recorded("pre-copy.stream.zst")).at(-1);
  const devices = last?.kind === "opaque" ? splitDevices(last.bytes) : undefined;
  const found = devices?.map(({ idstr }) => idstr) ?? [];
  expect([found[0], found.at(-1)]).toEqual(["timer", "globalstate"]);
});

describe("the post-copy that broke and was taken up again", () => {
  const read = (name: string): StreamRecord[] =>
    names.includes(name) ? readStream(recorded(name), resumed(name)) : [];
  const first = read("post-copy.stream.zst");
  const second = read("recovery.stream.zst");
  const blocks = first.flatMap((record): RamBlock[] => (record.kind === "ram-block" ? [record.block] : []));
  const indexOf = (name: string): number => blocks.findIndex((block) => block.name === name);

  /** Delivers every page of the records and counts those the target had already. */
  const deliver = (missing: MissingPages, records: readonly StreamRecord[]): number => {
    let twice = 0;
    for (const record of records) {
      if (record.kind === "command" && record.command.kind === "postcopy-discard") {
        missing.discard(indexOf(record.command.block), record.command.ranges);
      }
      if (record.kind !== "page" && record.kind !== "zero") continue;
      if (!missing.take(indexOf(record.block), record.offset / 4096)) twice += 1;
    }
    return twice;
  };
  const packageIndex = first.findIndex(({ kind }) => kind === "package");

  test("its package begins with LISTEN and ends with RUN", () => {
    const record = first[packageIndex];
    expect(record?.kind === "package" && packageParts(record.bytes)).toMatchObject({ from: 5, ping: 3 });
  });

  test("after the package QEMU delivers missing pages only, and in the end none is missing", () => {
    const missing = new MissingPages(blocks, 4096);
    deliver(missing, first.slice(0, packageIndex));
    expect(missing.count).toBeGreaterThan(0);
    expect(deliver(missing, first.slice(packageIndex))).toBe(0);
    for (const message of readReturn(recorded("recovery.return.zst"))) {
      if (message.kind === "recv-bitmap") missing.replace(indexOf(message.block), message.bitmap);
    }
    expect(missing.count).toBeGreaterThan(0);
    expect(deliver(missing, second)).toBe(0);
    expect(missing.count).toBe(0);
  });

  test("each request of the target can be made full", () => {
    for (const name of ["post-copy.return.zst", "recovery.return.zst"]) {
      const full = new FullForm();
      const requests = readReturn(recorded(name)).filter(({ kind }) => kind === "request-pages");
      expect(requests.length).toBeGreaterThan(0);
      for (const request of requests) expect(full.rewrite(request)).toHaveProperty("block");
    }
  });
});
