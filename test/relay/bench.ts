/**
 * How fast a relay pair is on this machine, with a synthetic stream or a recorded one:
 * `node test/relay/bench.ts [--encode] [--level N] [--connections N] [--mib N] [--file STREAM]`. Both relays are processes of
 * their own; QEMU's ends are two unix sockets here.
 */
import { mkdtempSync, openSync, readSync, closeSync, rmSync, statSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { encodeRecords } from "../../src/stream/encode.ts";
import { startRelay } from "../../src/relay/start.ts";

const { values } = parseArgs({
  options: {
    encode: { type: "boolean", default: false },
    level: { type: "string" },
    connections: { type: "string", default: "1" },
    mib: { type: "string", default: "512" },
    file: { type: "string" },
    repeat: { type: "boolean", default: false },
  },
});

const dir = mkdtempSync(join(tmpdir(), "relay-bench-"));
const PAGE = 4096;
const PART_PAGES = 64;

/** Pages like a guest's in one respect alone: two fifths of each can be squeezed out. */
function* synthetic(mib: number): Generator<Uint8Array> {
  const pages = (mib * 2 ** 20) / PAGE;
  const usedBytes = pages * PAGE;
  yield encodeRecords([
    { kind: "header" },
    { kind: "section-begin", section: { type: "start", id: 2, idstr: "ram", instance: 0, version: 4 } },
    { kind: "ram-size", totalBytes: usedBytes },
    { kind: "ram-block", block: { name: "pc.ram", usedBytes } },
    { kind: "mark", mark: "eos" },
    { kind: "section-end", id: 2 },
  ]);
  const noise = new Uint32Array(2 ** 20);
  let state = 1;
  for (const at of noise.keys()) {
    state = Math.imul(state, 1_664_525) + 1_013_904_223;
    noise[at] = state ^ (state >>> 13);
  }
  const bytes = new Uint8Array(noise.buffer);
  for (let first = 0; first < pages; first += PART_PAGES) {
    yield encodeRecords([
      { kind: "section-begin", section: { type: "part", id: 2 } },
      ...Array.from({ length: PART_PAGES }, (_, at) => {
        const page = new Uint8Array(PAGE);
        const from = ((first + at) * 2053) % (bytes.length - PAGE);
        page.set(bytes.subarray(from, from + 2400));
        new DataView(page.buffer).setUint32(0, first + at);
        return {
          kind: "page",
          block: "pc.ram",
          offset: (first + at) * PAGE,
          continued: at > 0,
          bytes: page,
        } as const;
      }),
      { kind: "mark", mark: "eos" },
      { kind: "section-end", id: 2 },
    ]);
  }
  yield encodeRecords([
    { kind: "section-begin", section: { type: "end", id: 2 } },
    { kind: "mark", mark: "eos" },
    { kind: "section-end", id: 2 },
    { kind: "opaque", bytes: Uint8Array.of(0) },
  ]);
}

function* recorded(file: string): Generator<Uint8Array> {
  const fd = openSync(file, "r");
  for (let left = statSync(file).size; left > 0;) {
    const chunk = new Uint8Array(Math.min(left, 2 ** 18));
    left -= readSync(fd, chunk);
    yield chunk;
  }
  closeSync(fd);
}

const common = {
  id: "bench",
  insecure: true,
  peerName: "-",
  capabilities: { postcopyRam: false },
  bandwidthBytesPerSecond: null,
  codec: values.level === undefined ? "off" : { level: Number(values.level) },
  encode: values.encode,
} as const;
const chunks = [...(values.file === undefined ? synthetic(Number(values.mib)) : recorded(values.file))];
const total = chunks.reduce((sum, { byteLength }) => sum + byteLength, 0);

let received = 0;
const sink = createServer((socket) => {
  socket.on("data", (bytes) => (received += bytes.length));
  socket.on("end", () => socket.end());
});
await new Promise<void>((resolve) => sink.listen(join(dir, "in.sock"), resolve));
const target = await startRelay(
  {
    ...common,
    side: "target",
    qemuSocket: join(dir, "in.sock"),
    listen: { address: "127.0.0.1", portMin: 0, portMax: 0 },
  },
  join(dir, "t"),
);
const source = await startRelay(
  {
    ...common,
    side: "source",
    qemuSocket: join(dir, "out.sock"),
    target: { address: "127.0.0.1", port: target.port ?? 0 },
    connections: Number(values.connections),
  },
  join(dir, "s"),
);
while ((await source.status()).phase === "waiting") await new Promise((resolve) => setTimeout(resolve, 10));
const idle = [(await source.status()).cpuSeconds, (await target.status()).cpuSeconds];
const began = performance.now();
const qemu = connect(join(dir, "out.sock"));
for (const chunk of chunks)
  if (!qemu.write(chunk)) await new Promise((resolve) => qemu.once("drain", resolve));
qemu.end();
const [one, other] = [await source.exited, await target.exited];
const seconds = (performance.now() - began) / 1000;
const gb = total / 1e9;
const cpu = (last: typeof one, at: number): string =>
  (((last?.cpuSeconds ?? 0) - (idle[at] ?? 0)) / gb).toFixed(2);
console.log(
  [
    `${(total / 2 ** 20).toFixed(0)} MiB in ${seconds.toFixed(2)} s: ${(total / 1e6 / seconds).toFixed(0)} MB/s`,
    `CPU s/GB source ${cpu(one, 0)} target ${cpu(other, 1)}`,
    `wire ${((one?.wireBytesOut ?? 0) / 2 ** 20).toFixed(1)} MiB, ratio ${one?.ratio?.toFixed(2)}`,
    `RSS MiB ${((one?.rssBytes ?? 0) / 2 ** 20).toFixed(0)} / ${((other?.rssBytes ?? 0) / 2 ** 20).toFixed(0)}`,
    one?.error?.message ?? other?.error?.message ?? `received ${received}`,
  ].join("; "),
);
sink.close();
for (const relay of [source, target]) await relay.kill();
rmSync(dir, { recursive: true, force: true });
