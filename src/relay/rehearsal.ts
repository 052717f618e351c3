/**
 * A relay that waits for its migration carries one of its own meanwhile: both sides in this process, over loopback, with
 * made-up pages. What a process does for the first time it does slowly (code that is interpreted, then compiled; a
 * first handshake); a guest of 84 MiB is over before that ends. Nothing of it is kept.
 */
import { mkdirSync, rmSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";

import { PAGE_BYTES } from "../page/types.ts";
import { encodeRecords } from "../stream/encode.ts";
import type { StreamRecord } from "../stream/records.ts";
import { encodeReturn } from "../stream/return-path.ts";
import { StreamWriter } from "../stream/writer.ts";
import { CodedError } from "../std/errors.ts";
import { checkConfig } from "./config.ts";
import { READ_BYTES } from "./limits.ts";
import { withBuffer, writeAll } from "./qemu-socket.ts";
import { type RunningRelay, runRelay } from "./run.ts";

export interface Rehearsal {
  /** Made and removed. */
  readonly dir: string;
  /** This host's, and its own name: it is its own peer. */
  readonly tlsDir: string;
  readonly name: string;
  readonly signal: AbortSignal;
}

const PAGES = 768;
/** Copied; then all pages are fetched once. */
const ROUNDS = 5;
const SECTION_PAGES = 16;
const STORE_BYTES = 4 * 2 ** 20;
const RAM_ID = 2;
/** Of three pages one is zero. */
const COPIED_BYTES = ROUNDS * PAGES * (2 / 3) * PAGE_BYTES;
const BLOCK = { name: "pc.ram", usedBytes: PAGES * PAGE_BYTES };
/** The rest of a page says little, as a guest's does. */
const NOISE_BYTES = PAGE_BYTES / 2;

/** @throws when it does not go well, which says nothing about what comes; leaves nothing either way. */
export async function rehearse({ dir, tlsDir, name, signal }: Rehearsal): Promise<void> {
  const closers: (() => void)[] = [];
  const stop = (): void => {
    for (const close of closers.splice(0)) close();
  };
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  signal.addEventListener("abort", stop, { once: true });
  try {
    const [qemuIn, qemuOut] = [join(dir, "in.sock"), join(dir, "out.sock")];
    const common = {
      id: "rehearsal",
      tlsDir,
      peerName: name,
      capabilities: { postcopyRam: true },
      bandwidthBytesPerSecond: null,
      codec: "auto",
      encode: true,
      storeBytes: STORE_BYTES,
    } as const;
    const side = async (more: object, at: string): Promise<RunningRelay> => {
      const files = { statusSocket: join(dir, `${at}.sock`), resultFile: join(dir, `${at}.json`) };
      const relay = await runRelay(checkConfig({ ...common, ...files, ...more }));
      closers.push(() => relay.abort(over()));
      return relay;
    };
    closers.push(await loadingQemu(qemuIn));
    const listen = { address: "127.0.0.1", portMin: 0, portMax: 0 };
    const target = await side({ side: "target", qemuSocket: qemuIn, listen }, "t");
    const to = { address: "127.0.0.1", port: target.status().port ?? 0 };
    const source = await side({ side: "source", qemuSocket: qemuOut, connections: 1, target: to }, "s");
    await source.connected;
    if (signal.aborted) return;
    const qemu = connect({ path: qemuOut, allowHalfOpen: true }).resume();
    qemu.on("error", () => qemu.destroy());
    closers.push(() => qemu.destroy());
    for (const bytes of guest()) if (!(await writeAll(qemu, bytes))) break;
    qemu.end();
    await Promise.all([source.ended, target.ended]);
  } finally {
    signal.removeEventListener("abort", stop);
    stop();
    rmSync(dir, { recursive: true, force: true });
  }
}

const over = (): CodedError => new CodedError("LINK_LOST", { why: "the rehearsal is over" });

/** Stands for the target's QEMU: takes everything, asks for pages once they are fetched, and says when it has all. */
async function loadingQemu(path: string): Promise<() => void> {
  const open = new Set<Socket>();
  const server: Server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (connection) => {
    let bytes = 0;
    const buffer = new Uint8Array(READ_BYTES);
    const callback = (read: number): boolean => {
      const page = Math.floor((bytes += read) / PAGE_BYTES) % PAGES;
      if (bytes > COPIED_BYTES)
        socket.write(
          encodeReturn({
            kind: "request-pages",
            block: BLOCK.name,
            start: page * PAGE_BYTES,
            length: PAGE_BYTES,
          }),
        );
      return true;
    };
    const socket = withBuffer(connection, { buffer, callback });
    open.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("end", () => socket.end(encodeReturn({ kind: "shut", value: 0 })));
    socket.resume();
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, resolve);
  });
  return () => {
    server.close();
    for (const socket of open) socket.destroy();
  };
}

/** From here on the pages are fetched: all of them, since none of the copies is to be used. */
const SWITCH: readonly StreamRecord[] = [
  {
    kind: "command",
    command: {
      kind: "postcopy-discard",
      block: BLOCK.name,
      ranges: [{ start: 0, length: BLOCK.usedBytes }],
    },
  },
  { kind: "command", command: { kind: "packaged", size: 3 } },
  { kind: "package", bytes: Uint8Array.of(1, 2, 3) },
];

/** A stream in pieces, each good until the next. */
function* guest(): Generator<Uint8Array> {
  yield encodeRecords([
    { kind: "header" },
    { kind: "configuration", machine: "rehearsal" },
    { kind: "section-begin", section: { type: "start", id: RAM_ID, idstr: "ram", instance: 0, version: 4 } },
    { kind: "ram-size", totalBytes: BLOCK.usedBytes },
    { kind: "ram-block", block: BLOCK },
    { kind: "mark", mark: "eos" },
    { kind: "section-end", id: RAM_ID },
  ]);
  const writer = new StreamWriter(new Uint8Array(SECTION_PAGES * (PAGE_BYTES + 32) + 64), PAGE_BYTES);
  writer.addBlock(BLOCK);
  const bytes = new Uint8Array(PAGE_BYTES);
  for (let round = 0; round <= ROUNDS; round += 1) {
    if (round === ROUNDS) yield encodeRecords(SWITCH);
    for (let first = 0; first < PAGES; first += SECTION_PAGES) {
      writer.clear();
      writer.begin("part", RAM_ID);
      for (let page = first; page < first + SECTION_PAGES; page += 1) {
        if (page % 3 === 2) writer.zero(0, page * PAGE_BYTES);
        else writer.page(0, page * PAGE_BYTES, fill(bytes, page, round), 0);
      }
      writer.end();
      yield writer.written;
    }
  }
  yield encodeRecords([
    { kind: "section-begin", section: { type: "end", id: RAM_ID } },
    { kind: "mark", mark: "eos" },
    { kind: "section-end", id: RAM_ID },
    { kind: "opaque", bytes: new Uint8Array(PAGE_BYTES) },
  ]);
}

/** A quarter each: new in every round, changed a little, as it was, and what another page is. */
function fill(bytes: Uint8Array, page: number, round: number): Uint8Array {
  const kind = page % 4;
  const content = kind === 3 ? (page ^ 2) + PAGES * (round % 2) : kind === 0 ? page + PAGES * round : page;
  let word = content + 1;
  for (let at = 0; at < PAGE_BYTES; at += 4) {
    if (at < NOISE_BYTES) word = (Math.imul(word, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[at] = word >>> 24;
    bytes[at + 1] = word >>> 16;
    bytes[at + 2] = at >>> 5;
    bytes[at + 3] = content;
  }
  return kind === 1 ? bytes.fill(round, 64, 80) : bytes;
}
