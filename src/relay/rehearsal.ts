/**
 * A relay that waits for its migration carries some of its own meanwhile: both sides in this process, over loopback, with
 * made-up pages. What a process does for the first time it does slowly (code that is interpreted, then compiled; a
 * first handshake); a guest of 84 MiB is over before that ends. They meet all that a migration meets, since V8 compiles for
 * what it has seen and throws that away at the first thing it has not. Nothing of them is kept.
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
import type { RelayStatus } from "./status.ts";

export interface Rehearsal {
  /** Made and removed. */
  readonly dir: string;
  /** This host's, and its own name: it is its own peer. */
  readonly tlsDir: string;
  readonly name: string;
  readonly signal: AbortSignal;
}

const PAGES = 1024;
/** Copied; then all pages are fetched once. */
const ROUNDS = 8;
/**
 * What one keeps the next begins with, as a guest begins with its boot files. With 3 of 5 rounds a real migration's relays took a
 * sixth more of a processor, with 6 of 5 or 8 of 12 no less than with these (an idle server over 1 Gbit/s, six moves each).
 */
const TIMES = 4;
const SECTION_PAGES = 16;
/** Too small for all contents, so that some have to go. */
const STORE_BYTES = 2 * 2 ** 20;
const RAM_ID = 2;
/** Pages lie as far apart as a guest's, and every fourth section is of the smaller block. */
const APART_BYTES = 43 * PAGE_BYTES;
const [LARGE, SMALL] = [
  { name: "pc.ram", usedBytes: PAGES * APART_BYTES },
  { name: "vga.vram", usedBytes: PAGES * PAGE_BYTES },
] as const;
const BLOCKS = [LARGE, SMALL] as const;
/** The rest of a page says little, as a guest's does. */
const NOISE_BYTES = PAGE_BYTES / 2;

/**
 * @returns what the source's side said last of the last one; undefined when it was broken off. @throws when it does not
 * go well, which says nothing about what comes; leaves nothing either way.
 */
export async function rehearse(rehearsal: Rehearsal): Promise<RelayStatus | undefined> {
  const { dir, signal } = rehearsal;
  let last: RelayStatus | undefined;
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  try {
    for (let time = 0; time < TIMES && !signal.aborted; time += 1) last = await migrateOnce(rehearsal);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
  return last;
}

async function migrateOnce({ dir, tlsDir, name, signal }: Rehearsal): Promise<RelayStatus | undefined> {
  const closers: (() => void)[] = [];
  const stop = (): void => {
    for (const close of closers.splice(0)) close();
  };
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
      const files = {
        statusSocket: join(dir, `${at}.sock`),
        resultFile: join(dir, `${at}.json`),
        storeFile: join(dir, `${at}.kept`),
      };
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
    if (signal.aborted) return undefined;
    const qemu = connect({ path: qemuOut, allowHalfOpen: true }).resume();
    qemu.on("error", () => qemu.destroy());
    closers.push(() => qemu.destroy());
    for (const bytes of guest()) if (!(await writeAll(qemu, bytes))) break;
    qemu.end();
    const [said] = await Promise.all([source.ended, target.ended]);
    for (const each of [source, target]) if (each.mayKeep) each.keep();
    return said;
  } finally {
    signal.removeEventListener("abort", stop);
    stop();
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
            block: BLOCKS[blockOf(page)].name,
            start: offsetOf(page),
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

/** Here and there one, and the last quarter: a batch of nothing else. */
const isZero = (page: number): boolean => page % 5 === 4 || page >= (PAGES * 3) / 4;
const FILLED_PAGES = Array.from({ length: PAGES }, (_, page) => page).filter((page) => !isZero(page)).length;
const COPIED_BYTES = ROUNDS * FILLED_PAGES * PAGE_BYTES;
const blockOf = (page: number): 0 | 1 => (Math.floor(page / SECTION_PAGES) % 4 === 3 ? 1 : 0);
const offsetOf = (page: number): number => page * (blockOf(page) === 0 ? APART_BYTES : PAGE_BYTES);

/** From here on the pages are fetched: all of them, since none of the copies is to be used. */
const SWITCH: readonly StreamRecord[] = [
  ...BLOCKS.map(({ name, usedBytes }): StreamRecord => {
    const ranges = [{ start: 0, length: usedBytes }];
    return { kind: "command", command: { kind: "postcopy-discard", block: name, ranges } };
  }),
  { kind: "command", command: { kind: "packaged", size: 3 } },
  { kind: "package", bytes: Uint8Array.of(1, 2, 3) },
];

/** A stream in pieces, each good until the next. */
function* guest(): Generator<Uint8Array> {
  yield encodeRecords([
    { kind: "header" },
    { kind: "configuration", machine: "rehearsal" },
    { kind: "section-begin", section: { type: "start", id: RAM_ID, idstr: "ram", instance: 0, version: 4 } },
    { kind: "ram-size", totalBytes: LARGE.usedBytes + SMALL.usedBytes },
    ...BLOCKS.map((block): StreamRecord => ({ kind: "ram-block", block })),
    { kind: "mark", mark: "eos" },
    { kind: "section-end", id: RAM_ID },
  ]);
  const writer = new StreamWriter(new Uint8Array(SECTION_PAGES * (PAGE_BYTES + 32) + 64), PAGE_BYTES);
  for (const block of BLOCKS) writer.addBlock(block);
  const bytes = new Uint8Array(PAGE_BYTES);
  for (let round = 0; round <= ROUNDS; round += 1) {
    if (round === ROUNDS) yield encodeRecords(SWITCH);
    for (let first = 0; first < PAGES; first += SECTION_PAGES) {
      writer.clear();
      writer.begin("part", RAM_ID);
      for (let page = first; page < first + SECTION_PAGES; page += 1) {
        if (isZero(page)) writer.zero(blockOf(page), offsetOf(page));
        else writer.page(blockOf(page), offsetOf(page), fill(bytes, page, round), 0);
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

/** A quarter each: new in every round, changed a little, as it was, and what now one of those, now another is. */
function fill(bytes: Uint8Array, page: number, round: number): Uint8Array {
  const kind = page % 4;
  let content = page;
  if (kind === 0) content = page + PAGES * round;
  if (kind === 3) content = (page - 1 + 4 * (round % 2)) % PAGES;
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
