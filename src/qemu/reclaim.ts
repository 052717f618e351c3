/**
 * Taking a guest back to a source whose post-copy target died before it ever ran.
 *
 * QEMU 7.2 leaves such a source in `postcopy-paused` with no command that lets it run: cont is refused, migrate_cancel
 * hangs (docs/decisions/0002-post-copy-hand-over.md). So the migration is finished against a stand-in that says it has
 * every page already; nothing is sent, the source completes, and `cont` runs the guest from its own, complete memory.
 *
 * It does not decide whether that is right. The caller must be certain that the target is dead and never ran.
 *
 * What the stand-in hears on the stream, and answers on the return path (all integers big-endian):
 *
 *   08 | u16 command | u16 n | n bytes      10 RECV_BITMAP: str8 block   →  type 5, the block, and its bitmap
 *                                           9 POSTCOPY_RESUME            →  type 6, u32 1
 *   02, 03 sections: nothing left to send                                →  type 1, u32 0 (all loaded)
 */
import { randomUUID } from "node:crypto";
import { rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import type { Qmp } from "../qmp/types.ts";
import { CodedError } from "../std/errors.ts";
import { checkedSocketPath } from "./args.ts";

export const RECLAIM_TIMEOUT_MS = 10_000;
const POLL_MS = 10;
const PAGE_BYTES = 4096;
/** Commands of a recovery are short: a block's name at most. */
const COMMAND_BYTES_MAX = 1024;

const Command = { postcopyResume: 9, recvBitmap: 10 } as const;
const Answer = { shut: 1, recvBitmap: 5, resumeAck: 6 } as const;
const COMMAND_BYTE = 0x08;
const BITMAP_END = 0x0123456789abcdefn;

/**
 * Leaves the source in run state `postmigrate`: `cont` runs it. Its status must be `postcopy-paused`.
 * @throws CodedError QMP_REFUSED when it is not, QMP_TIMEOUT, QMP_LOST.
 */
export async function reclaimSource(
  qmp: Qmp,
  dir: string,
  options: { readonly signal?: AbortSignal; readonly timeoutMs?: number } = {},
): Promise<void> {
  const timeoutMs = options.timeoutMs ?? RECLAIM_TIMEOUT_MS;
  const signals = options.signal === undefined ? [] : [options.signal];
  const signal = AbortSignal.any([...signals, AbortSignal.timeout(timeoutMs)]);
  const path = checkedSocketPath(join(dir, `r${randomUUID().slice(0, 8)}.sock`));
  const blocks = parseRamBlocks(
    await qmp.execute("human-monitor-command", { "command-line": "info ramblock" }, { signal }),
  );
  const sockets = new Set<Socket>();
  const server = await listen(path, (socket) => {
    sockets.add(socket);
    serve(socket, blocks);
  });
  try {
    // The stand-in sits in the VM's own folder; there is nobody to authenticate.
    await qmp.execute("migrate-set-parameters", { "tls-creds": "" }, { signal });
    await qmp.execute("migrate", { uri: `unix:${path}`, resume: true }, { signal });
    while ((await qmp.execute("query-migrate", {}, { signal })).status !== "completed") {
      await delay(POLL_MS, undefined, { signal });
    }
  } catch (error) {
    if (options.signal?.aborted === true || !signal.aborted) throw error;
    throw new CodedError("QMP_TIMEOUT", { command: "migrate (reclaim)", timeoutMs }, { cause: error });
  } finally {
    for (const socket of sockets) socket.destroy();
    server.close();
    await rm(path, { force: true });
  }
}

/** Names and used bytes out of `info ramblock`; QMP has no command for them. */
export function parseRamBlocks(text: string): ReadonlyMap<string, number> {
  const rows = text.matchAll(/^\s*(\S.*?)\s+\d+ [KMG]iB\s+0x[0-9a-f]+\s+0x([0-9a-f]+)\s+0x[0-9a-f]+/gm);
  return new Map([...rows].map(([, name, used]) => [name ?? "", Number.parseInt(used ?? "", 16)]));
}

function listen(path: string, accept: (socket: Socket) => void): Promise<Server> {
  const server = createServer(accept);
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, () => resolve(server));
  });
}

function serve(socket: Socket, blocks: ReadonlyMap<string, number>): void {
  let input = Buffer.alloc(0);
  let shut = false;
  socket.on("error", () => socket.destroy());
  socket.on("data", (chunk) => {
    if (shut) return;
    input = Buffer.concat([input, chunk]);
    try {
      for (let step = nextStep(input, blocks); step !== undefined; step = nextStep(input, blocks)) {
        socket.write(step.answer);
        input = input.subarray(step.usedBytes);
        shut = step.last;
        if (shut) return;
      }
    } catch {
      socket.destroy(); // the source stays paused, and the caller's time runs out
    }
  });
}

export interface Step {
  readonly usedBytes: number;
  readonly answer: Buffer;
  readonly last: boolean;
}

/** What the front of the stream is answered with; undefined while it is incomplete. Throws on anything unexpected. */
export function nextStep(input: Buffer, blocks: ReadonlyMap<string, number>): Step | undefined {
  if (input.length === 0) return undefined;
  // The first section after the commands: a source with nothing to send is at its end.
  if (input[0] !== COMMAND_BYTE) return { usedBytes: input.length, answer: u32(Answer.shut, 0), last: true };
  if (input.length < 5) return undefined;
  const payloadBytes = input.readUInt16BE(3);
  if (payloadBytes > COMMAND_BYTES_MAX) throw new Error(`a command of ${payloadBytes} bytes`);
  const usedBytes = 5 + payloadBytes;
  if (input.length < usedBytes) return undefined;
  const answer = answerTo(input.readUInt16BE(1), input.subarray(5, usedBytes), blocks);
  return { usedBytes, answer, last: false };
}

function answerTo(command: number, payload: Buffer, blocks: ReadonlyMap<string, number>): Buffer {
  if (command === Command.postcopyResume) return u32(Answer.resumeAck, 1);
  if (command !== Command.recvBitmap) throw new Error(`command ${command} in a recovery`);
  const bytes = blocks.get(payload.toString("latin1", 1));
  if (bytes === undefined) throw new Error("a RAM block that info ramblock does not have");
  const bitmap = receivedAll(bytes);
  const size = Buffer.alloc(8);
  size.writeBigUInt64BE(BigInt(bitmap.length));
  const end = Buffer.alloc(8);
  end.writeBigUInt64BE(BITMAP_END);
  return Buffer.concat([message(Answer.recvBitmap, payload), size, bitmap, end]);
}

/** One bit for each page, little-endian, in whole 8-byte words. */
function receivedAll(blockBytes: number): Buffer {
  const pages = Math.floor(blockBytes / PAGE_BYTES);
  const bitmap = Buffer.alloc(Math.ceil(pages / 64) * 8);
  bitmap.fill(0xff, 0, pages >> 3);
  if (pages % 8 !== 0) bitmap[pages >> 3] = (1 << (pages % 8)) - 1;
  return bitmap;
}

function message(type: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(4);
  header.writeUInt16BE(type, 0);
  header.writeUInt16BE(payload.length, 2);
  return Buffer.concat([header, payload]);
}

function u32(type: number, value: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(value);
  return message(type, payload);
}
