/**
 * How fast a relay pair is on this machine and what it holds, with a synthetic stream or a recorded one:
 * `node test/relay/bench.ts [--encode] [--codec auto|off|LEVEL] [--connections N] [--content zero|unique|code|mixed]
 * [--mib N] [--rounds N] [--file STREAM]`. Both relays are processes of their own, this one is both QEMUs: two unix sockets.
 * `--rounds`: each page is sent again with a few edits, so often, as of a guest that never converges.
 */
import { closeSync, mkdtempSync, openSync, readFileSync, readSync, rmSync, statSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { encodeRecords } from "../../src/stream/encode.ts";
import { startRelay } from "../../src/relay/start.ts";

const { values } = parseArgs({
  options: {
    encode: { type: "boolean", default: false },
    codec: { type: "string", default: "off" },
    connections: { type: "string", default: "1" },
    content: { type: "string", default: "mixed" },
    mib: { type: "string", default: "512" },
    rounds: { type: "string", default: "1" },
    file: { type: "string" },
  },
});

const MIB = 2 ** 20;
const PAGE = 4096;
const PART_PAGES = 64;
const HEAD = 8;
const RSS_EVERY_MS = 500;
const NAME = "pc.ram";
const dir = mkdtempSync(join(tmpdir(), "relay-bench-"));
const pages = (Number(values.mib) * MIB) / PAGE;

const noise = new Uint32Array(16 * MIB);
let state = 1;
const random = (): number => {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return state >>> 0;
};
for (let at = 0; at < noise.length; at += 1) noise[at] = random();
/** A program's code, text and tables: what a codec makes of it is like what it makes of a guest's memory. */
const code = new Uint8Array(readFileSync(process.execPath));
const codeWords = new Uint32Array(code.buffer, 0, Math.floor(code.byteLength / PAGE) * 1024);
const scratch = new Uint32Array(PAGE / 4);
const scratchBytes = new Uint8Array(scratch.buffer);

type Content = "zero" | "unique" | "code";
/** Half a guest is code and data, an eighth of it cannot be compressed, the rest is zero. */
const MIX: readonly Content[] = ["code", "code", "zero", "code", "unique", "code", "zero", "zero"];

function contentOf(page: number): Content {
  if (values.content === "mixed") return MIX[(page >> 4) % MIX.length] ?? "zero";
  return values.content === "zero" || values.content === "unique" ? values.content : "code";
}

/** Every page of its own: a program read again and again is another one each time, bit for bit as compressible. */
function fill(page: number, round: number): void {
  const content = contentOf(page);
  if (content === "unique") {
    const from = (page * 1021) % (noise.length - 1024);
    scratch.set(noise.subarray(from, from + 1024));
    for (let at = 0; at < 1024; at += 1) scratch[at] = (scratch[at] ?? 0) ^ page;
  } else {
    const from = (page * 1024) % codeWords.length;
    const turn = Math.imul(Math.floor((page * 1024) / codeWords.length), 0x1010101);
    for (let at = 0; at < 1024; at += 1) scratch[at] = (codeWords[from + at] ?? 0) ^ turn;
  }
  for (let edit = 0; edit < round; edit += 1)
    scratch[(page * 31 + edit * 131) % 1024] = Math.imul(page, edit + 7);
}

function* synthetic(rounds: number): Generator<Uint8Array> {
  const usedBytes = pages * PAGE;
  yield encodeRecords([
    { kind: "header" },
    { kind: "section-begin", section: { type: "start", id: 2, idstr: "ram", instance: 0, version: 4 } },
    { kind: "ram-size", totalBytes: usedBytes },
    { kind: "ram-block", block: { name: NAME, usedBytes } },
    { kind: "mark", mark: "eos" },
    { kind: "section-end", id: 2 },
  ]);
  const begin = encodeRecords([{ kind: "section-begin", section: { type: "part", id: 2 } }]);
  const end = encodeRecords([
    { kind: "mark", mark: "eos" },
    { kind: "section-end", id: 2 },
  ]);
  for (let round = 0; round < rounds; round += 1) {
    for (let first = 0; first < pages; first += PART_PAGES) {
      const part = new Uint8Array(begin.length + end.length + PART_PAGES * (HEAD + PAGE) + 1 + NAME.length);
      const view = new DataView(part.buffer);
      part.set(begin);
      let at = begin.length;
      for (let page = first; page < Math.min(pages, first + PART_PAGES); page += 1) {
        const isZero = contentOf(page) === "zero" && round === 0;
        const flags = (isZero ? 2 : 8) + (page > first ? 32 : 0);
        view.setBigUint64(at, BigInt(page * PAGE + flags));
        at += HEAD;
        if (page === first) {
          part[at] = NAME.length;
          part.set(Buffer.from(NAME, "latin1"), at + 1);
          at += 1 + NAME.length;
        }
        if (isZero) {
          at += 1;
          continue;
        }
        fill(page, round);
        part.set(scratchBytes, at);
        at += PAGE;
      }
      part.set(end, at);
      yield part.subarray(0, at + end.length);
    }
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

const codec =
  values.codec === "auto" || values.codec === "off" ? values.codec : { level: Number(values.codec) };
const common = {
  id: "bench",
  insecure: true,
  peerName: "-",
  capabilities: { postcopyRam: false },
  bandwidthBytesPerSecond: null,
  codec,
  encode: values.encode,
} as const;
const rounds = Number(values.rounds);
const make = (): Generator<Uint8Array> =>
  values.file === undefined ? synthetic(rounds) : recorded(values.file);
// A few rounds are made beforehand, so that making them is not measured; many would not fit.
const chunks = rounds > 1 ? make() : [...make()];

let received = 0;
const sink = createServer({ pauseOnConnect: true }, (socket) => {
  socket.on("data", (bytes) => (received += bytes.length));
  socket.on("end", () => socket.end());
  socket.resume();
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
const most = [0, 0];
const path: string[] = [];
const watch = setInterval(() => {
  void Promise.all([source.status(), target.status()]).then(
    (both) => {
      const mib = both.map(({ rssBytes }) => Math.round(rssBytes / MIB));
      for (const at of [0, 1]) most[at] = Math.max(most[at] ?? 0, mib[at] ?? 0);
      path.push(mib.join("/"));
    },
    () => {},
  );
}, RSS_EVERY_MS);
const began = performance.now();
const qemu = connect(join(dir, "out.sock"));
let total = 0;
for (const chunk of chunks) {
  total += chunk.byteLength;
  if (!qemu.write(chunk)) await new Promise((resolve) => qemu.once("drain", resolve));
}
qemu.end();
const [one, other] = [await source.exited, await target.exited];
clearInterval(watch);
const seconds = (performance.now() - began) / 1000;
const cpu = (last: typeof one, at: number): string =>
  (((last?.cpuSeconds ?? 0) - (idle[at] ?? 0)) / (total / 1e9)).toFixed(2);
console.log(
  [
    `${(total / MIB).toFixed(0)} MiB in ${seconds.toFixed(2)} s: ${(total / 1e6 / seconds).toFixed(0)} MB/s`,
    `CPU s/GB source ${cpu(one, 0)} target ${cpu(other, 1)}`,
    `wire ${((one?.wireBytesOut ?? 0) / MIB).toFixed(1)} MiB, ratio ${one?.ratio?.toFixed(2)}`,
    `RSS MiB at most ${most.join(" / ")}`,
    one?.error?.message ?? other?.error?.message ?? `received ${received}`,
  ].join("; "),
);
if (rounds > 1) console.log(`RSS over time: ${path.filter((_, at) => at % 8 === 0).join(" ")}`);
sink.close();
for (const relay of [source, target]) await relay.kill();
rmSync(dir, { recursive: true, force: true });
