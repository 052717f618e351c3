/**
 * How long a guest waits for a page in post-copy while all others are pushed: what stands for two QEMUs, in two network
 * namespaces with a link of `--mbit` between them (a token bucket on both ends), with relays and without:
 * `unshare -n node test/relay/post-copy-bench.ts [--mbit 200] [--mib 96] [--codec auto|off|LEVEL] [--direct]`
 */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";

import { initCa, issueHost } from "../../src/agent/pki.ts";
import { encodeRecords } from "../../src/stream/encode.ts";
import { Forwarding } from "../../src/stream/forwarding.ts";
import { StreamParser } from "../../src/stream/parser.ts";
import { encodeReturn, ReturnReader } from "../../src/stream/return-path.ts";
import type { StreamRecord } from "../../src/stream/records.ts";
import { startRelay } from "../../src/relay/start.ts";

const { values } = parseArgs({
  options: {
    mbit: { type: "string", default: "200" },
    mib: { type: "string", default: "96" },
    codec: { type: "string", default: "auto" },
    direct: { type: "boolean", default: false },
    /** The folder of the one that started this one, as its other half. */
    half: { type: "string" },
  },
});

const PAGE = 4096;
const RAM = 2;
const BLOCK = "pc.ram";
const SOURCE = "10.9.0.1";
const TARGET = "10.9.0.2";
const PORT = 7000;
const THINK_MS = 3;
/** As QEMU writes. */
const WRITE_PAGES = 8;
const QUEUE_MS = 20;
const pages = (Number(values.mib) * 2 ** 20) / PAGE;
const code = new Uint8Array(readFileSync(process.execPath));
const dir = values.half ?? mkdtempSync(join(tmpdir(), "post-copy-bench-"));

/** One end of the link; QEMUs and relays are plain processes of its namespace. */
function shape(device: string, address: string): void {
  const rate = Number(values.mbit) * 125_000;
  const burst = Math.max(16_384, Math.ceil(rate / 250));
  const queue = Math.max(65_536, Math.ceil((rate * QUEUE_MS) / 1000));
  for (const line of [
    `ip link set lo up`,
    `ip address add ${address}/24 dev ${device}`,
    `ip link set ${device} up gso_max_size ${Math.min(65_536, burst >> 1)}`,
    `tc qdisc add dev ${device} root tbf rate ${rate * 8}bit burst ${burst} limit ${queue}`,
  ]) {
    const [program = "", ...args] = line.split(" ");
    execFileSync(program, args);
  }
}

/** Pushes all pages in their order; what is asked for goes next. */
class Source {
  readonly #socket: Socket;
  readonly #sent = new Uint8Array(pages);
  readonly #asked: number[] = [];
  readonly #returned = new ReturnReader();

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (bytes: Buffer) => {
      this.#returned.push(new Uint8Array(bytes));
      for (const { message } of this.#returned) {
        if (message.kind === "request-pages") this.#asked.push(message.start / PAGE);
      }
    });
  }

  async run(): Promise<void> {
    const usedBytes = pages * PAGE;
    await this.#write(
      { kind: "header" },
      { kind: "section-begin", section: { type: "start", id: RAM, idstr: "ram", instance: 0, version: 4 } },
      { kind: "ram-size", totalBytes: usedBytes },
      { kind: "ram-block", block: { name: BLOCK, usedBytes } },
      { kind: "mark", mark: "eos" },
      { kind: "section-end", id: RAM },
      { kind: "command", command: { kind: "packaged", size: 3 } },
      { kind: "package", bytes: Uint8Array.of(1, 2, 3), left: 0 } as StreamRecord,
    );
    let next = 0;
    for (let left = pages; left > 0;) {
      const part: StreamRecord[] = [];
      while (part.length < WRITE_PAGES && left > 0) {
        let page = this.#asked.shift();
        if (page === undefined) {
          while (this.#sent[next] === 1) next += 1;
          page = next;
        }
        if (this.#sent[page] === 1) continue;
        this.#sent[page] = 1;
        left -= 1;
        const from = (page * PAGE) % (code.byteLength - PAGE);
        const bytes = code.slice(from, from + PAGE);
        part.push({ kind: "page", block: BLOCK, offset: page * PAGE, continued: part.length > 0, bytes });
      }
      await this.#section("part", part);
    }
    await this.#section("end", []);
    await this.#write({ kind: "opaque", bytes: Uint8Array.of(0) });
    this.#socket.end();
  }

  #section(type: "part" | "end", records: readonly StreamRecord[]): Promise<void> {
    return this.#write(
      { kind: "section-begin", section: { type, id: RAM } },
      ...records,
      { kind: "mark", mark: "eos" },
      { kind: "section-end", id: RAM },
    );
  }

  /** Until the kernel has it: QEMU holds nothing back. */
  #write(...records: readonly StreamRecord[]): Promise<void> {
    return new Promise((resolve) => this.#socket.write(encodeRecords(records), () => resolve()));
  }
}

/** Asks for one page after the other, as one processor of a guest does. */
class Target extends Forwarding {
  readonly waits: number[] = [];
  twice = 0;
  readonly #has = new Uint8Array(pages);
  readonly #parser = new StreamParser(this, { postcopyRam: true });
  readonly #socket: Socket;
  #rest: Uint8Array = new Uint8Array();
  #count = 0;
  #waiting: { readonly page: number; readonly got: () => void } | undefined;

  constructor(socket: Socket) {
    super();
    this.#socket = socket;
    socket.on("data", (bytes: Buffer) => {
      const all = new Uint8Array(Buffer.concat([this.#rest, bytes]));
      this.#rest = all.subarray(this.#parser.parse(all));
    });
    socket.on("end", () => {
      socket.end(encodeReturn({ kind: "shut", value: 0 }));
    });
  }

  verbatim(): void {}
  zero(block: number, offset: number): void {
    this.page(block, offset);
  }
  page(_block: number, offset: number): void {
    const page = offset / PAGE;
    if (this.#has[page] === 1) this.twice += 1;
    this.#has[page] = 1;
    this.#count += 1;
    if (this.#waiting?.page === page) this.#waiting.got();
  }
  override packageBytes(_from: number, _to: number, left: number): void {
    if (left === 0) void this.#fault();
  }

  get missing(): number {
    return pages - this.#count;
  }

  async #fault(): Promise<void> {
    let at = 1;
    while (this.#count < pages * 0.9) {
      await delay(THINK_MS);
      do at = (Math.imul(at, 1_103_515_245) + 12_345) >>> 0;
      while (this.#has[at % pages] === 1);
      const page = at % pages;
      const began = performance.now();
      const got = new Promise<void>((resolve) => (this.#waiting = { page, got: resolve }));
      this.#socket.write(
        encodeReturn({ kind: "request-pages", block: BLOCK, start: page * PAGE, length: PAGE }),
      );
      await got;
      this.waits.push(performance.now() - began);
    }
  }
}

const codec =
  values.codec === "auto" || values.codec === "off" ? values.codec : { level: Number(values.codec) };
const common = {
  id: "bench",
  capabilities: { postcopyRam: true },
  bandwidthBytesPerSecond: null,
  codec,
  encode: true,
} as const;

/** The half with the waiting guest: a process of its own, in a namespace of its own. */
async function targetHalf(): Promise<void> {
  await once(process.stdin, "data"); // the link is there
  shape("far", TARGET);
  const closed = Promise.withResolvers<void>();
  let target: Target | undefined;
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    server.close();
    if (values.direct) socket.setNoDelay(true);
    socket.on("close", () => closed.resolve());
    target = new Target(socket);
  });
  await new Promise<void>((resolve) => {
    if (values.direct) server.listen(PORT, TARGET, resolve);
    else server.listen(join(dir, "in.sock"), resolve);
  });
  const relay = values.direct
    ? undefined
    : await startRelay(
        {
          ...common,
          side: "target",
          peerName: "a",
          tlsDir: join(dir, "b"),
          qemuSocket: join(dir, "in.sock"),
          listen: { address: TARGET, portMin: PORT, portMax: PORT },
        },
        join(dir, "t"),
      );
  process.stdout.write("ready\n");
  await closed.promise;
  const waits = (target?.waits ?? []).toSorted((one, other) => one - other);
  const at = (share: number): string => (waits[Math.floor((waits.length - 1) * share)] ?? NaN).toFixed(1);
  console.log(
    `${waits.length} requests, ms: median ${at(0.5)}, 90 % ${at(0.9)}, 99 % ${at(0.99)}, most ${at(1)}; ` +
      `missing ${target?.missing}, twice ${target?.twice}`,
  );
  await relay?.kill();
}

async function sourceHalf(): Promise<void> {
  await initCa(join(dir, "ca"));
  for (const [name, address] of [
    ["a", SOURCE],
    ["b", TARGET],
  ] as const) {
    await issueHost({ caDir: join(dir, "ca"), name, addresses: [address], outDir: join(dir, name) });
  }
  const other = spawn("unshare", ["-n", process.execPath, ...process.argv.slice(1), "--half", dir], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const gone = once(other, "exit");
  let said = "";
  other.stdout.on("data", (bytes: Buffer) => (said += bytes.toString()));
  // By its number, once it is in a namespace of its own.
  await delay(200);
  execFileSync("ip", [
    "link",
    "add",
    "near",
    "type",
    "veth",
    "peer",
    "name",
    "far",
    "netns",
    String(other.pid),
  ]);
  shape("near", SOURCE);
  other.stdin.write("go");
  while (!said.includes("ready")) await delay(10);
  let near: Socket;
  const source = values.direct
    ? undefined
    : await startRelay(
        {
          ...common,
          side: "source",
          peerName: "b",
          tlsDir: join(dir, "a"),
          qemuSocket: join(dir, "out.sock"),
          target: { address: TARGET, port: PORT },
          connections: 1,
        },
        join(dir, "s"),
      );
  if (source === undefined) {
    near = connect({ host: TARGET, port: PORT, allowHalfOpen: true });
    near.setNoDelay(true);
  } else {
    while ((await source.status()).phase === "waiting") await delay(10);
    near = connect({ path: join(dir, "out.sock"), allowHalfOpen: true });
  }
  const began = performance.now();
  await new Source(near).run();
  other.stdin.end();
  await gone;
  const seconds = (performance.now() - began) / 1000;
  const how = values.direct ? "direct" : `relays, codec ${values.codec}`;
  console.log(
    `${how}; ${values.mbit} Mbit/s, ${values.mib} MiB in ${seconds.toFixed(1)} s; ${said.slice(6).trim()}`,
  );
  await source?.kill();
  rmSync(dir, { recursive: true, force: true });
}

if (values.half === undefined) await sourceHalf();
else await targetHalf();
process.exit(0);
