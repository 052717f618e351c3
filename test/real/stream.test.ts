/** Streams of real QEMUs, both directions, recorded between two of them: read, and written again bit for bit. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { zstdCompressSync } from "node:zlib";

import { afterEach, beforeEach, expect, it } from "vitest";

import { ensureTicker, tickerMachine } from "../../src/lab/guest/ticker.ts";
import { startQemu } from "../../src/qemu/process.ts";
import type { QemuProcess } from "../../src/qemu/types.ts";
import { encodeRecords } from "../../src/stream/encode.ts";
import type { StreamOptions } from "../../src/stream/parser.ts";
import { readReturn, readStream, returnRoundTrips, roundTrips } from "../model/streams.ts";
import { until } from "./qemu-guest.ts";

const DEADLINE_MS = 30_000;
/** So slow that most of the guest is still to be fetched when post-copy begins. */
const SLOW = { "max-bandwidth": 200_000, "max-postcopy-bandwidth": 400_000 };
const FAST = { "max-bandwidth": 1_000_000_000, "max-postcopy-bandwidth": 0 };
/** A folder to put the recordings in, for `test/recordings`. */
const KEEP = process.env["GODWIT_RECORDINGS"];

let dir: string;
let undo: (() => unknown)[] = [];
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "stream-"));
});
afterEach(async () => {
  for (const step of undo.toReversed()) await step();
  undo = [];
  rmSync(dir, { recursive: true, force: true });
});

interface Recording {
  readonly stream: Buffer;
  readonly back: Buffer;
}

/** Passes one connection on to `to`, and keeps what passed. */
async function recorder(from: string, to: string): Promise<() => Recording> {
  const forth: Buffer[] = [];
  const back: Buffer[] = [];
  const sockets: Socket[] = [];
  const server: Server = createServer({ allowHalfOpen: true }, (source) => {
    const target = connect({ path: to, allowHalfOpen: true });
    sockets.push(source, target);
    for (const [one, other, kept] of [
      [source, target, forth],
      [target, source, back],
    ] as const) {
      one.on("data", (chunk: Buffer) => kept.push(chunk));
      one.on("error", () => other.destroy());
      one.pipe(other);
    }
  });
  await new Promise<void>((resolve) => server.listen(from, resolve));
  undo.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return () => ({ stream: Buffer.concat(forth), back: Buffer.concat(back) });
}

async function pair(capabilities: readonly string[]): Promise<{ source: QemuProcess; target: QemuProcess }> {
  const machine = tickerMachine("recorded", await ensureTicker(), { memory: "16MiB" });
  const start = async (name: string, incoming: boolean): Promise<QemuProcess> => {
    const vm = await startQemu({
      binary: "qemu-system-x86_64",
      machine,
      accelerator: "tcg",
      dir: join(dir, name),
      incoming,
      forwardAddress: "127.0.0.1",
    });
    undo.push(() => vm.kill());
    await vm.qmp.execute("migrate-set-capabilities", {
      capabilities: ["events", "return-path", ...capabilities].map((capability) => ({
        capability,
        state: true,
      })),
    });
    return vm;
  };
  return { source: await start("s", false), target: await start("t", true) };
}

const status = async (vm: QemuProcess) => (await vm.qmp.execute("query-migrate", {})).status;
const reaches = (vm: QemuProcess, wanted: string): Promise<unknown> =>
  until(wanted, DEADLINE_MS, async () => ((await status(vm)) === wanted ? true : undefined));

async function sees(vm: QemuProcess, wanted: string): Promise<void> {
  for await (const { data } of vm.qmp.events(["MIGRATION"])) if (data["status"] === wanted) return;
}

async function migrate({ source, target }: { source: QemuProcess; target: QemuProcess }) {
  const recorded = await recorder(join(dir, "one"), join(dir, "in"));
  await target.qmp.execute("migrate-incoming", { uri: `unix:${join(dir, "in")}` });
  await source.qmp.execute("migrate", { uri: `unix:${join(dir, "one")}` });
  return recorded;
}

/** Pages hold the firmware's code, which is not ours to give away: kept is where they lie, not what is in them. */
function keep(name: string, { stream, back }: Recording, options: StreamOptions = {}): void {
  if (KEEP === undefined) return;
  const blank = readStream(stream, options).map((record) =>
    record.kind === "page"
      ? { ...record, bytes: new Uint8Array(record.bytes.length).fill(record.offset >>> 12) }
      : record,
  );
  writeFileSync(join(KEEP, `${name}.stream.zst`), zstdCompressSync(encodeRecords(blank)));
  writeFileSync(join(KEEP, `${name}.return.zst`), zstdCompressSync(back));
}

function comesBack(recording: Recording, options: StreamOptions = {}): void {
  for (const size of [1, 4095, 0x1_0000]) {
    expect(roundTrips(recording.stream, size, options)).toBe(true);
    expect(returnRoundTrips(recording.back, size)).toBe(true);
  }
}

it("a pre-copy", async () => {
  const both = await pair([]);
  await both.source.qmp.execute("migrate-set-parameters", FAST);
  const recorded = await migrate(both);
  await reaches(both.source, "completed");
  const recording = recorded();
  keep("pre-copy", recording);
  comesBack(recording);
  expect(readStream(recording.stream).at(-2)).toMatchObject({
    kind: "transparent",
    reason: { kind: "tail" },
  });
  expect(readReturn(recording.back)).toEqual([
    { kind: "pong", value: 1 },
    { kind: "shut", value: 0 },
  ]);
});

it("a post-copy, broken and taken up again", async () => {
  const both = await pair(["postcopy-ram"]);
  const { source, target } = both;
  await source.qmp.execute("migrate-set-parameters", SLOW);
  const recorded = await migrate(both);
  await reaches(source, "active");
  await source.qmp.execute("migrate-start-postcopy", {});
  await reaches(target, "postcopy-active");
  await until("the package is loaded", DEADLINE_MS, async () =>
    (await target.qmp.execute("query-status", {})).status === "paused" ? true : undefined,
  );
  await target.qmp.execute("cont", {});
  await until("a page is asked for", DEADLINE_MS, () =>
    readReturn(recorded().back).some(({ kind }) => kind === "request-pages") ? true : undefined,
  );

  // By its event: the target's main loop may itself wait for a page, and answer nothing.
  const targetPaused = sees(target, "postcopy-paused");
  await source.qmp.execute("migrate-pause", {}, { outOfBand: true });
  await targetPaused;
  await reaches(source, "postcopy-paused");
  const first = recorded();
  keep("post-copy", first);
  comesBack(first);
  const kinds = readStream(first.stream).map((record) =>
    record.kind === "command" ? record.command.kind : record.kind,
  );
  expect(kinds).toEqual(
    expect.arrayContaining(["postcopy-advise", "postcopy-discard", "packaged", "package"]),
  );

  const resumed = await recorder(join(dir, "two"), join(dir, "in2"));
  await target.qmp.execute("migrate-recover", { uri: `unix:${join(dir, "in2")}` }, { outOfBand: true });
  await source.qmp.execute("migrate-set-parameters", FAST);
  await source.qmp.execute("migrate", { uri: `unix:${join(dir, "two")}`, resume: true });
  await reaches(source, "completed");
  await reaches(target, "completed");
  const second = resumed();
  keep("recovery", second, { resumes: {} });
  comesBack(second, { resumes: {} });
  expect(readReturn(second.back).map(({ kind }) => kind)).toEqual(
    expect.arrayContaining(["recv-bitmap", "resume-ack", "shut"]),
  );
});
