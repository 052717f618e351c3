/** Two hosts whose relays keep their stores: what the second migration costs, and what it does when they differ. */
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { zstdDecompressSync } from "node:zlib";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { elfOf } from "../../test/fakes/packed.ts";
import { readStream } from "../../test/model/streams.ts";
import { Arena, until } from "../../test/relay/hostile.ts";
import { PAGE_BYTES } from "../page/types.ts";
import { encodeRecords } from "../stream/encode.ts";
import { encodeReturn } from "../stream/return-path.ts";
import {
  encodeKeptHeader,
  KEPT_HEADER_BYTES,
  keptCheckBegun,
  keptContentsAt,
  readKeptHeader,
} from "../wire/kept.ts";
import { makeBootStore } from "./boot-store.ts";
import { crc32, sha256 } from "./bytes.ts";
import { type RelayProcess, startRelay } from "./start.ts";

let arena: Arena;
beforeEach(() => {
  arena = new Arena();
});
afterEach(() => arena.close());

/** A recorded migration, each place with a content that no other has, however often it is sent. */
const RECORDING = join(import.meta.dirname, "../../test/recordings/pre-copy.stream.zst");
const recorded = readStream(new Uint8Array(zstdDecompressSync(readFileSync(RECORDING))));
let seed = 1;
const noise = (): Uint8Array =>
  new Uint8Array(PAGE_BYTES).map(() => {
    seed = Math.imul(seed ^ (seed >>> 15), 0x2c1b3c6d) + 0x9e3779b1;
    return seed >>> 13;
  });
const contents: ReadonlyMap<string, Uint8Array> = new Map(
  recorded.flatMap((record) =>
    record.kind === "page" ? [[`${record.block} ${record.offset}`, noise()] as const] : [],
  ),
);
const KNOWN = contents.size;

/** The guest's stream, with so many of its pages changed since. */
function streamOf(changed: number): Uint8Array {
  const ofChanged = new Set([...contents.keys()].slice(0, changed));
  return encodeRecords(
    recorded.map((record) => {
      if (record.kind !== "page") return record;
      const place = `${record.block} ${record.offset}`;
      const bytes = (contents.get(place) ?? noise()).slice();
      return { ...record, bytes: ofChanged.has(place) ? bytes.fill(1, 8, 24) : bytes };
    }),
  );
}
/** What a guest holds in the end, page by page. */
const loaded = (stream: Uint8Array): ReadonlyMap<string, string> =>
  new Map(
    readStream(new Uint8Array(stream)).flatMap((record) =>
      record.kind === "page" || record.kind === "zero"
        ? [
            [
              `${record.block} ${record.offset}`,
              record.kind === "page" ? hash(record.bytes) : "zero",
            ] as const,
          ]
        : [],
    ),
  );
const hash = (bytes: Uint8Array): string => Buffer.from(sha256([bytes])).toString("hex");

const answer = encodeReturn({ kind: "shut", value: 0 });
const STORE_BYTES = 8 * 2 ** 20;

type Host = "a" | "b";
describe("two hosts", () => {
  const fileOf = (host: Host): string => join(arena.dir, `at-${host}.store`);

  /** One migration by a pair of relays of its own; both keep what they may at the end. */
  async function moved(
    from: Host,
    stream: Uint8Array,
    cut?: number,
    boot: Partial<Record<Host, string>> = {},
  ) {
    const to = from === "a" ? "b" : "a";
    const place = new Arena();
    try {
      const qemu = await place.qemuTarget(cut === undefined ? answer : undefined);
      const common = { storeBytes: STORE_BYTES } as const;
      const filesOf = (host: Host) => ({
        storeFile: fileOf(host),
        ...(boot[host] === undefined ? {} : { bootFile: boot[host] }),
      });
      const target = await place.target({ ...common, ...filesOf(to) });
      const source = await place.source(target.status().port ?? 0, { ...common, ...filesOf(from) });
      await until("the wire is up", () => source.status().phase !== "waiting");
      place.qemuSource().socket().end(stream.subarray(0, cut));
      const [sent, got] = [await source.ended, await target.ended];
      for (const relay of [source, target]) if (relay.mayKeep) relay.keep();
      return { sent, got, given: qemu.given() };
    } finally {
      place.close();
    }
  }
  const filesNow = (): Buffer[] => [readFileSync(fileOf("a")), readFileSync(fileOf("b"))];

  it("send a guest that comes back as what changed, and hold the same again", async () => {
    const there = await moved("a", streamOf(0));
    expect(there.sent).toMatchObject({ error: null, keptPages: 0, keptNote: "nothing was kept" });
    expect(there.sent.pages.literal.pages).toBe(KNOWN);
    expect(Buffer.compare(...(filesNow() as [Buffer, Buffer]))).toBe(0);
    const back = await moved("b", streamOf(3));
    for (const status of [back.sent, back.got]) {
      expect(status).toMatchObject({ error: null, keptPages: KNOWN, keptNote: null });
    }
    expect(back.sent.pages).toMatchObject({
      literal: { pages: 0 },
      similar: { pages: 3 },
      duplicate: { pages: KNOWN - 3 },
    });
    expect(back.sent.wireBytesOut).toBeLessThan(there.sent.wireBytesOut / 30);
    expect(Buffer.compare(...(filesNow() as [Buffer, Buffer]))).toBe(0);
    // And once more, in the same direction.
    const again = await moved("b", streamOf(0));
    expect(again.sent.pages.literal.pages).toBe(0);
    expect(loaded(there.given)).toEqual(loaded(streamOf(0)));
    expect(loaded(back.given)).toEqual(loaded(streamOf(3)));
    expect(loaded(again.given)).toEqual(loaded(streamOf(0)));
  });

  it("begin empty when one of them lost its file, and say so", async () => {
    await moved("a", streamOf(0));
    rmSync(fileOf("b"));
    const { sent, got } = await moved("a", streamOf(0));
    expect(sent).toMatchObject({ error: null, keptPages: 0, keptNote: "the other side kept another one" });
    expect(got).toMatchObject({ error: null, keptPages: 0, keptNote: "nothing was kept" });
    expect((await moved("b", streamOf(0))).sent.keptPages).toBe(KNOWN);
  });

  it("leave their files as they were when a migration does not end well, and go on with them", async () => {
    await moved("a", streamOf(0));
    const before = filesNow();
    const { sent, got } = await moved("b", streamOf(500), 3_000_000);
    expect([sent.error, got.error]).toEqual([expect.anything(), expect.anything()]);
    expect(sent.keptPages).toBe(KNOWN);
    expect(filesNow()).toEqual(before);
    expect((await moved("b", streamOf(0))).sent.pages.literal.pages).toBe(0);
  });

  it("whose files differ although they say they do not: nothing wrong is loaded, and both files go", async () => {
    await moved("a", streamOf(0));
    const forged = forge(fileOf("b"));
    const { sent, got, given } = await moved("a", streamOf(0));
    expect(got.error).toMatchObject({ code: "WIRE_DAMAGED" });
    expect(sent.error).toMatchObject({ code: "PEER_REFUSED" });
    expect([existsSync(fileOf("a")), existsSync(fileOf("b"))]).toEqual([false, false]);
    const again = await moved("a", streamOf(0));
    expect(again.sent).toMatchObject({ error: null, keptPages: 0 });
    expect([given.length > 0, given.includes(Buffer.from(forged))]).toEqual([true, false]);
  });

  it("write their stores as processes too, once all was said, and then end", async () => {
    const place = new Arena();
    const started: RelayProcess[] = [];
    try {
      const common = {
        capabilities: { postcopyRam: false },
        codec: { level: 1 },
        storeBytes: STORE_BYTES,
      } as const;
      await place.qemuTarget(answer);
      const target = await startRelay(
        place.targetConfig({ ...common, storeFile: fileOf("b") }),
        join(place.dir, "t"),
      );
      started.push(target);
      const source = await startRelay(
        place.sourceConfig(target.port ?? 0, { ...common, connections: 2, storeFile: fileOf("a") }),
        join(place.dir, "s"),
      );
      started.push(source);
      await until("QEMU may come", () => existsSync(join(place.dir, "out.sock")));
      place.qemuSource().socket().end(streamOf(0));
      expect([await source.exited, await target.exited].map((last) => last?.phase)).toEqual(["done", "done"]);
      expect(Buffer.compare(...(filesNow() as [Buffer, Buffer]))).toBe(0);
    } finally {
      for (const relay of started) await relay.kill();
      place.close();
    }
    expect((await moved("b", streamOf(0))).sent.keptPages).toBe(KNOWN);
  });

  it("send nothing of the files that the guest was started from, if both have them", async () => {
    const pages = [...contents.values()];
    const [kernel, file] = [join(arena.dir, "kernel"), join(arena.dir, "boot")];
    writeFileSync(kernel, elfOf(pages));
    const bootPages = makeBootStore({ kernel, file, slots: STORE_BYTES / PAGE_BYTES });
    const without = await moved("a", streamOf(0), undefined, { a: file });
    expect(without.sent).toMatchObject({ error: null, bootPages: 0 });
    for (const host of ["a", "b"] as const) rmSync(fileOf(host));
    const { sent, got, given } = await moved("a", streamOf(3), undefined, { a: file, b: file });
    for (const status of [sent, got]) expect(status).toMatchObject({ error: null, keptPages: 0, bootPages });
    expect(sent.pages).toMatchObject({ literal: { pages: 0 }, similar: { pages: 3 } });
    expect(sent.wireBytesOut).toBeLessThan(without.sent.wireBytesOut / 30);
    expect(loaded(given)).toEqual(loaded(streamOf(3)));
    expect(Buffer.compare(...(filesNow() as [Buffer, Buffer]))).toBe(0);
    // What was kept has grown out of it, and goes before it.
    expect((await moved("b", streamOf(0), undefined, { a: file, b: file })).sent).toMatchObject({
      bootPages: 0,
    });
  });

  it("keep nothing of a fetch that goes on after it broke", async () => {
    await moved("a", streamOf(0));
    const before = filesNow();
    const target = await arena.target({ storeFile: fileOf("b"), storeBytes: STORE_BYTES, recovery: true });
    const source = await arena.source(target.status().port ?? 0, { storeFile: fileOf("a"), recovery: true });
    await until("the wire is up", () => source.status().phase !== "waiting");
    await arena.qemuTarget();
    arena.qemuSource().socket().end("whatever");
    expect((await source.ended).keptPages + (await target.ended).keptPages).toBe(0);
    expect([source.mayKeep, target.mayKeep]).toEqual([false, false]);
    expect(filesNow()).toEqual(before);
  });
});

/** One bit of one content, with a check that is right. @returns the content. */
function forge(at: string): Uint8Array {
  const bytes = new Uint8Array(readFileSync(at));
  const header = readKeptHeader(bytes, bytes.length, STORE_BYTES / PAGE_BYTES);
  if (typeof header === "string") throw new Error(header);
  const place = keptContentsAt(header.used) + 300 * PAGE_BYTES;
  bytes[place] = (bytes[place] ?? 0) ^ 1;
  const check = crc32(bytes.subarray(KEPT_HEADER_BYTES), keptCheckBegun(header, crc32));
  bytes.set(encodeKeptHeader({ ...header, check }));
  writeFileSync(at, bytes);
  return bytes.subarray(place, place + PAGE_BYTES);
}
