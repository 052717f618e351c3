import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { zstdCompressSync } from "node:zlib";

import { afterEach, beforeEach, expect, test } from "vitest";

import { FakeTerminal } from "../../../test/fakes/terminal.ts";
import { encodeRecords } from "../../stream/encode.ts";
import type { StreamRecord } from "../../stream/records.ts";
import { encodeReturn } from "../../stream/return-path.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "godwit-frames-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const zero = (offset: number, continued: boolean): StreamRecord => ({
  kind: "zero",
  block: "pc.ram",
  offset,
  continued,
  fill: 0,
});
const STREAM = encodeRecords([
  { kind: "header" },
  { kind: "configuration", machine: "pc-q35-7.2" },
  { kind: "section-begin", section: { type: "start", id: 2, idstr: "ram", instance: 0, version: 4 } },
  { kind: "ram-size", totalBytes: 8192 },
  { kind: "ram-block", block: { name: "pc.ram", usedBytes: 8192 } },
  zero(0, false),
  zero(4096, true),
  { kind: "mark", mark: "eos" },
  { kind: "section-end", id: 2 },
]);

async function frames(
  bytes: Uint8Array,
  ...flags: string[]
): Promise<{ code: number; out: string; err: string }> {
  const file = join(folder, "recording");
  writeFileSync(file, bytes);
  const terminal = new FakeTerminal();
  const code = await terminal.run("frames", file, ...flags);
  return { code, out: terminal.stdout, err: terminal.stderr };
}

test("a stream is listed with its pages counted, also when compressed and when it breaks off", async () => {
  const plain = await frames(STREAM);
  expect(plain.code).toBe(0);
  expect(plain.out).toContain("0 full, 2 zero");
  expect(plain.out).toMatch(/the recording ends here, in between\n$/);
  expect(await frames(zstdCompressSync(STREAM))).toEqual(plain);
});

test("--pages lists each page", async () => {
  const { out } = await frames(STREAM, "--pages", "-o", "json");
  const rows = JSON.parse(out) as { kind: string; detail: string }[];
  expect(rows.filter(({ kind }) => kind === "zero").map(({ detail }) => detail)).toEqual([
    "pc.ram + 0",
    "pc.ram + 4096, continued",
  ]);
});

test("a return path is told from a stream by its first byte", async () => {
  const { out } = await frames(
    Buffer.concat([
      encodeReturn({ kind: "pong", value: 7 }),
      encodeReturn({ kind: "request-pages", start: 4096, length: 8192 }),
    ]),
  );
  expect(out).toContain("same block + 4096, 8192 bytes");
});

test("what is no stream is refused with the place and what was expected", async () => {
  const { code, err } = await frames(Buffer.from("not a stream"));
  expect(code).toBe(1);
  expect(err).toContain("expected the magic of a migration stream");
});

test("a file that is not there is a matter of usage", async () => {
  const terminal = new FakeTerminal();
  expect(await terminal.run("frames", join(folder, "none"))).toBe(2);
});
