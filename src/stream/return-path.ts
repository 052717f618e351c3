/**
 * The return path: what the target tells the source, on the reverse direction of the stream's socket. Reads and writes
 * messages; `FullForm` makes requests independent of the ones before them.
 */
import { Cursor, Joiner } from "./bytes.ts";
import { beyond, invalid } from "./faults.ts";
import { RAM_BYTES_MAX, RECV_BITMAP_BYTES_MAX, RETURN_PAYLOAD_BYTES_MAX } from "./limits.ts";

export type ReturnMessage =
  /** The last one: 0 when all was loaded. */
  | { readonly kind: "shut"; readonly value: number }
  | { readonly kind: "pong"; readonly value: number }
  /** Pages asked for. Without `block`: of the block of the request before. */
  | {
      readonly kind: "request-pages";
      readonly block?: string;
      readonly start: number;
      readonly length: number;
    }
  /** One bit a page, page i in byte i/8, bit i%8; 1 is received. */
  | { readonly kind: "recv-bitmap"; readonly block: string; readonly bitmap: Uint8Array }
  | { readonly kind: "resume-ack"; readonly value: number }
  | { readonly kind: "switchover-ack" };

/** The form with the name has the smaller number. */
const TYPE = {
  shut: 1,
  pong: 2,
  requestNamed: 3,
  request: 4,
  recvBitmap: 5,
  resumeAck: 6,
  switchoverAck: 7,
} as const;
const HEAD_BYTES = 4;
/** Stands behind a received bitmap, in this order of bytes. */
const BITMAP_END = [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];

export interface PlacedMessage {
  readonly message: ReturnMessage;
  readonly offset: number;
  readonly length: number;
}

export class ReturnReader {
  #buffer: Uint8Array = new Uint8Array(RETURN_PAYLOAD_BYTES_MAX * 2);
  #from = 0;
  #to = 0;
  #offset = 0;

  /** Bytes given that are no whole message yet. */
  get pendingBytes(): number {
    return this.#to - this.#from;
  }

  push(chunk: Uint8Array): void {
    if (this.#to + chunk.length > this.#buffer.length) {
      const pending = this.#buffer.subarray(this.#from, this.#to);
      const needed = pending.length + chunk.length;
      // Grows with what came, never with what was announced.
      const larger =
        needed <= this.#buffer.length
          ? this.#buffer
          : new Uint8Array(Math.max(needed, 2 * this.#buffer.length));
      larger.set(pending);
      this.#to = pending.length;
      this.#from = 0;
      this.#buffer = larger;
    }
    this.#buffer.set(chunk, this.#to);
    this.#to += chunk.length;
  }

  /**
   * The next message; undefined means: not yet.
   * @throws CodedError STREAM_INVALID, STREAM_LIMIT
   */
  next(): PlacedMessage | undefined {
    const cursor = new Cursor(this.#buffer, this.#from, this.#to, this.#offset - this.#from);
    const message = parseMessage(cursor);
    if (message === undefined) return undefined;
    const placed = { message, offset: this.#offset, length: cursor.at - this.#from };
    this.#from = cursor.at;
    this.#offset += placed.length;
    return placed;
  }

  *[Symbol.iterator](): Generator<PlacedMessage> {
    for (let placed = this.next(); placed !== undefined; placed = this.next()) yield placed;
  }
}

function parseMessage(cursor: Cursor): ReturnMessage | undefined {
  const type = cursor.u16();
  const length = cursor.u16();
  cursor.limit(length, RETURN_PAYLOAD_BYTES_MAX, "bytes in a message of the return path");
  if (cursor.short) return undefined;
  const end = cursor.at + length;
  const message = payload(type, cursor);
  cursor.expect(cursor.at === end, `a message of type ${type} with another length than ${length}`);
  if (message?.kind === "recv-bitmap") return cursor.short ? undefined : outside(message.block, cursor);
  return cursor.short ? undefined : message;
}

function payload(type: number, cursor: Cursor): ReturnMessage | undefined {
  switch (type) {
    case TYPE.shut:
      return { kind: "shut", value: cursor.u32() };
    case TYPE.pong:
      return { kind: "pong", value: cursor.u32() };
    case TYPE.requestNamed: {
      const pages = range(cursor);
      return { kind: "request-pages", ...pages, block: cursor.name("a RAM block") };
    }
    case TYPE.request:
      return { kind: "request-pages", ...range(cursor) };
    case TYPE.recvBitmap:
      return { kind: "recv-bitmap", block: cursor.name("a RAM block"), bitmap: new Uint8Array() };
    case TYPE.resumeAck:
      return { kind: "resume-ack", value: cursor.u32() };
    case TYPE.switchoverAck:
      return { kind: "switchover-ack" };
    default:
      cursor.expect(false, `a message of the return path, not type ${type}`);
      return undefined;
  }
}

function range(cursor: Cursor): { start: number; length: number } {
  const start = cursor.u64();
  const length = cursor.u32();
  cursor.limit(start + length, RAM_BYTES_MAX, "bytes of RAM");
  return { start, length };
}

/** The bitmap lies behind its message, not in it. */
function outside(block: string, cursor: Cursor): ReturnMessage | undefined {
  const size = cursor.u64();
  cursor.limit(size, RECV_BITMAP_BYTES_MAX, "bytes in a bitmap of received pages");
  cursor.expect(size % 8 === 0, "a bitmap of whole words");
  const bitmap = cursor.copy(size);
  for (const byte of BITMAP_END) cursor.expect(cursor.u8() === byte, "the mark behind a bitmap");
  return cursor.short ? undefined : { kind: "recv-bitmap", block, bitmap };
}

export function encodeReturn(message: ReturnMessage): Uint8Array {
  const body = new Joiner();
  const type = writePayload(body, message);
  const bytes = body.done();
  if (bytes.length > RETURN_PAYLOAD_BYTES_MAX) {
    throw beyond(HEAD_BYTES, "bytes in a message", bytes.length, RETURN_PAYLOAD_BYTES_MAX);
  }
  const out = new Joiner().u16(type).u16(bytes.length).raw(bytes);
  if (message.kind === "recv-bitmap") {
    out
      .u64(message.bitmap.length)
      .raw(message.bitmap)
      .u8(...BITMAP_END);
  }
  return out.done();
}

function writePayload(body: Joiner, message: ReturnMessage): number {
  switch (message.kind) {
    case "shut":
      body.u32(message.value);
      return TYPE.shut;
    case "pong":
      body.u32(message.value);
      return TYPE.pong;
    case "request-pages":
      body.u64(message.start).u32(message.length);
      if (message.block === undefined) return TYPE.request;
      body.str8(message.block);
      return TYPE.requestNamed;
    case "recv-bitmap":
      body.str8(message.block);
      return TYPE.recvBitmap;
    case "resume-ack":
      body.u32(message.value);
      return TYPE.resumeAck;
    case "switchover-ack":
      return TYPE.switchoverAck;
  }
}

/**
 * Requests in the form that names the block. The target leaves the name out when it is that of its own last request, but
 * the source takes the block of the last request it got: with requests injected in between, another one.
 */
export class FullForm {
  #block: string | undefined;

  rewrite(message: ReturnMessage): ReturnMessage {
    if (message.kind !== "request-pages") return message;
    this.#block = message.block ?? this.#block;
    if (this.#block === undefined) throw invalid(0, "a first request that names its block");
    return { ...message, block: this.#block };
  }

  /** To be called when a recovery begins: the target names its block anew. */
  reset(): void {
    this.#block = undefined;
  }
}
