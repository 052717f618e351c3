/**
 * Runs as a process of its own, in the client's place: writes to a guest's Redis at a constant rate whether answers
 * come or not (open loop), and logs every acknowledged write.
 *
 * Usage: redis-client LOG RATE_PER_SECOND STALL_MS PORT ADDRESS...
 *   LOG gets records of three little-endian u64: key number, due, acknowledged (CLOCK_MONOTONIC ns).
 *
 * Operations are due at start + n / rate; latency counts from there. All go pipelined over one connection, which is
 * only given up when the system says so or when nothing came for STALL_MS: a guest that is being moved keeps its
 * connections. Then the next address is tried. A write that was sent but not acknowledged before that is neither
 * repeated nor logged: nobody was promised anything.
 */
import { closeSync, openSync, writeSync } from "node:fs";
import { type Socket, connect } from "node:net";

import { encodeRecord } from "./records.ts";
import { ReplyReader, encodeCommand } from "./resp.ts";
import { type Written, writeKey, writeValue } from "./writes.ts";

const TURN_MS = 1;
const FLUSH_MS = 50;
const RECONNECT_MS = 100;
/** At 200 a second this is eight minutes without an answer; beyond it operations are left out, and said. */
const WAITING_MAX = 100_000;

const [log = "", rate = "", stall = "", port = "", ...addresses] = process.argv.slice(2);
const perSecond = Number(rate);
const stallMs = Number(stall);
if (log === "" || !(perSecond > 0) || !(stallMs > 0) || !(Number(port) > 0) || addresses.length === 0) {
  process.stderr.write("usage: redis-client LOG RATE_PER_SECOND STALL_MS PORT ADDRESS...\n");
  process.exit(2);
}

const file = openSync(log, "w");
const startNs = process.hrtime.bigint();
const dueNsOf = (number: number): bigint => startNs + BigInt(Math.round((number * 1e9) / perSecond));

let next = 0;
/** Due, not yet sent. */
const waiting: Written[] = [];
/** Sent, not yet acknowledged, in the order of sending. */
let sent: Written[] = [];
let acknowledged: Buffer[] = [];
let socket: Socket | null = null;
let attempts = 0;
let heardNs = startNs;
const counts = { acknowledged: 0, refused: 0, unanswered: 0, leftOut: 0, connections: 0 };

function open(): void {
  const address = addresses[attempts % addresses.length] ?? "";
  attempts += 1;
  const reader = new ReplyReader();
  const current = connect({ host: address, port: Number(port), noDelay: true });
  heardNs = process.hrtime.bigint();
  current.on("connect", () => {
    counts.connections += 1;
    socket = current;
    heardNs = process.hrtime.bigint();
    sendWaiting();
  });
  current.on("data", (piece: Buffer) => {
    const now = process.hrtime.bigint();
    heardNs = now;
    try {
      for (const reply of reader.push(piece)) {
        const write = sent.shift();
        if (write === undefined) continue;
        if (reply.kind === "text" && reply.text === "OK") {
          counts.acknowledged += 1;
          acknowledged.push(encodeRecord(write.number, write.dueNs, now));
        } else counts.refused += 1;
      }
    } catch {
      current.destroy();
    }
  });
  current.on("error", () => undefined);
  current.on("close", () => {
    socket = null;
    counts.unanswered += sent.length;
    sent = [];
    setTimeout(open, RECONNECT_MS);
  });
  const watch = setInterval(() => {
    const silentMs = Number(process.hrtime.bigint() - heardNs) / 1e6;
    if (silentMs > stallMs && (sent.length > 0 || current.connecting)) current.destroy();
  }, RECONNECT_MS);
  current.on("close", () => clearInterval(watch));
}

function sendWaiting(): void {
  if (socket === null || waiting.length === 0) return;
  const batch = waiting.splice(0);
  sent.push(...batch);
  socket.write(
    batch
      .map(({ number, dueNs }) => encodeCommand(["SET", writeKey(number), writeValue(number, dueNs)]))
      .join(""),
  );
}

function turn(): void {
  const now = process.hrtime.bigint();
  for (let dueNs = dueNsOf(next); dueNs <= now; dueNs = dueNsOf(next)) {
    if (waiting.length + sent.length < WAITING_MAX) waiting.push({ number: next, dueNs });
    else counts.leftOut += 1;
    next += 1;
  }
  sendWaiting();
}

function flush(): void {
  if (acknowledged.length === 0) return;
  const bytes = Buffer.concat(acknowledged);
  acknowledged = [];
  for (let at = 0; at < bytes.length;) at += writeSync(file, bytes, at);
}

function finish(): void {
  flush();
  closeSync(file);
  process.stdout.write(`${JSON.stringify(counts)}\n`);
  process.exit(0);
}

process.on("SIGTERM", finish);
process.on("SIGINT", finish);
setInterval(turn, TURN_MS);
setInterval(flush, FLUSH_MS);
open();
process.stdout.write("redis-client: ready\n");
