/**
 * Frames between two relays, drawn in docs/wire.md. Decides what a whole and correct frame is; what its payload means
 * is left to others, as is compression: `payload` is what travels. Numbers are big-endian.
 *
 *   0        4        8       9       10      12               16              32
 *   +--------+--------+-------+-------+-------+----------------+---------------+---------
 *   | number | length | kind  | codec | zero  | raw length     | check (16 B)  | payload
 *   +--------+--------+-------+-------+-------+----------------+---------------+---------
 *     u32      u32      u8      u8      u16     u32
 */
import type { ByteQueue } from "./byte-queue.ts";
import {
  ABORT_CODE_BYTES_MAX,
  ABORT_SENTENCE_BYTES_MAX,
  FRAME_NUMBER_MAX,
  FRAME_PAYLOAD_BYTES_MAX,
} from "./limits.ts";
import { damaged, refuse } from "./refuse.ts";

/** SHA-256 over the parts one after the other. Handed in: this room imports nothing from outside. */
export type Sha256 = (parts: readonly Uint8Array[]) => Uint8Array;

export const FRAME_HEADER_BYTES = 32;
export const CHECK_BYTES = 16;
const CHECK_AT = 16;

export const FrameKind = {
  raw: 1,
  pages: 2,
  end: 3,
  return: 4,
  credit: 5,
  ping: 6,
  pong: 7,
  abort: 8,
} as const;
export type FrameKind = (typeof FrameKind)[keyof typeof FrameKind];

export const Codec = { none: 0, zstd: 1, zstdContinued: 2, lz4: 3 } as const;
export type Codec = (typeof Codec)[keyof typeof Codec];

export interface Frame {
  /** 1, 2, … over all connections of one direction; 0 for kinds that stand outside the order. */
  readonly number: number;
  readonly kind: FrameKind;
  readonly codec: Codec;
  /** Length of the payload once expanded. */
  readonly rawBytes: number;
  readonly payload: Uint8Array;
}

interface KindRule {
  /** Unnumbered frames are handled when they arrive: a credit or an abort must not wait behind a missing frame. */
  readonly numbered: boolean;
  readonly compressible: boolean;
  readonly bytesMin: number;
  readonly bytesMax: number;
}

const rule = (numbered: boolean, compressible: boolean, bytesMin: number, bytesMax: number): KindRule => ({
  numbered,
  compressible,
  bytesMin,
  bytesMax,
});

const RULES: Readonly<Record<number, KindRule>> = {
  [FrameKind.raw]: rule(true, true, 1, FRAME_PAYLOAD_BYTES_MAX),
  [FrameKind.pages]: rule(true, true, 1, FRAME_PAYLOAD_BYTES_MAX),
  [FrameKind.end]: rule(true, false, 0, 0),
  [FrameKind.return]: rule(true, true, 1, FRAME_PAYLOAD_BYTES_MAX),
  [FrameKind.credit]: rule(false, false, 4, 4),
  [FrameKind.ping]: rule(false, false, 8, 8),
  [FrameKind.pong]: rule(false, false, 8, 8),
  [FrameKind.abort]: rule(false, false, 2, 1 + ABORT_CODE_BYTES_MAX + ABORT_SENTENCE_BYTES_MAX),
};

const isFrameKind = (kind: number): kind is FrameKind => RULES[kind] !== undefined;
const isCodec = (codec: number): codec is Codec => codec >= Codec.none && codec <= Codec.lz4;
const ruleOf = (kind: FrameKind): KindRule => RULES[kind] ?? refuse(`frame kind ${kind} is unknown`);

/** What an expanded or compressed payload is, as the relay's codec hands it over. */
export interface Coded {
  readonly codec: Codec;
  readonly rawBytes: number;
  readonly payload: Uint8Array;
}

export const plain = (payload: Uint8Array): Coded => ({
  codec: Codec.none,
  rawBytes: payload.byteLength,
  payload,
});

const frame = (number: number, kind: FrameKind, { codec, rawBytes, payload }: Coded): Frame =>
  accepted({ number, kind, codec, rawBytes, payload }, payload.byteLength);

export const rawFrame = (number: number, coded: Coded): Frame => frame(number, FrameKind.raw, coded);
export const pagesFrame = (number: number, coded: Coded): Frame => frame(number, FrameKind.pages, coded);
export const returnFrame = (number: number, coded: Coded): Frame => frame(number, FrameKind.return, coded);
export const endFrame = (number: number): Frame => frame(number, FrameKind.end, plain(new Uint8Array(0)));

/** `frames`: how many more numbered frames the other side may have under way. */
export function creditFrame(frames: number): Frame {
  const payload = new Uint8Array(4);
  new DataView(payload.buffer).setUint32(0, frames);
  return frame(0, FrameKind.credit, plain(payload));
}

/** `token`: 8 bytes that the pong brings back. */
export const pingFrame = (token: Uint8Array): Frame => frame(0, FrameKind.ping, plain(token));
export const pongFrame = (token: Uint8Array): Frame => frame(0, FrameKind.pong, plain(token));

/** Code and sentence, cut to their limits: an abort must never fail to be said. */
export function abortFrame(code: string, sentence: string): Frame {
  const coder = new TextEncoder();
  const codeBytes = coder.encode(code).subarray(0, ABORT_CODE_BYTES_MAX);
  const sentenceBytes = coder.encode(sentence || " ").subarray(0, ABORT_SENTENCE_BYTES_MAX);
  const payload = new Uint8Array(1 + codeBytes.byteLength + sentenceBytes.byteLength);
  payload[0] = codeBytes.byteLength;
  payload.set(codeBytes, 1);
  payload.set(sentenceBytes, 1 + codeBytes.byteLength);
  return frame(0, FrameKind.abort, plain(payload));
}

const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

export const creditOf = (credit: Frame): number => view(credit.payload).getUint32(0);

export function abortOf(abort: Frame): { readonly code: string; readonly sentence: string } {
  const codeBytes = abort.payload[0] ?? 0;
  if (1 + codeBytes > abort.payload.byteLength) return refuse("an abort's code is longer than the abort");
  const coder = new TextDecoder();
  return {
    code: coder.decode(abort.payload.subarray(1, 1 + codeBytes)),
    sentence: coder.decode(abort.payload.subarray(1 + codeBytes)),
  };
}

/** The rules a header can be held to before its payload is there. */
function accepted(header: Frame, payloadBytes: number): Frame {
  const { number, kind, codec, rawBytes } = header;
  const { numbered, compressible, bytesMin, bytesMax } = ruleOf(kind);
  if (payloadBytes > FRAME_PAYLOAD_BYTES_MAX || rawBytes > bytesMax || rawBytes < bytesMin) {
    return refuse(`a frame of kind ${kind} has ${payloadBytes} bytes, ${rawBytes} raw`);
  }
  if (codec === Codec.none ? payloadBytes !== rawBytes : !compressible || payloadBytes === 0) {
    return refuse(`a frame of kind ${kind} has codec ${codec}, ${payloadBytes} bytes, ${rawBytes} raw`);
  }
  if (numbered ? number < 1 || number > FRAME_NUMBER_MAX : number !== 0) {
    return refuse(`a frame of kind ${kind} has number ${number}`);
  }
  return header;
}

function headerOf(of: Frame): Uint8Array {
  const header = new Uint8Array(FRAME_HEADER_BYTES);
  const out = view(header);
  out.setUint32(0, of.number);
  out.setUint32(4, of.payload.byteLength);
  out.setUint8(8, of.kind);
  out.setUint8(9, of.codec);
  out.setUint32(12, of.rawBytes);
  return header;
}

/** Header and payload, to be written one after the other; the payload is not copied. */
export function encodeFrame(of: Frame, sha256: Sha256): readonly [header: Uint8Array, payload: Uint8Array] {
  const header = headerOf(accepted(of, of.payload.byteLength));
  header.set(sha256([header, of.payload]).subarray(0, CHECK_BYTES), CHECK_AT);
  return [header, of.payload];
}

/** Takes one whole frame off the front of `input`; undefined while it is incomplete. */
export function tryReadFrame(input: ByteQueue, sha256: Sha256): Frame | undefined {
  const header = input.peek(FRAME_HEADER_BYTES);
  if (header === undefined) return undefined;
  const fields = view(header);
  const payloadBytes = fields.getUint32(4);
  const kind = fields.getUint8(8);
  const codec = fields.getUint8(9);
  if (!isFrameKind(kind)) return refuse(`frame kind ${kind} is unknown`);
  if (!isCodec(codec)) return refuse(`codec ${codec} is unknown`);
  if (fields.getUint16(10) !== 0) return refuse("a frame's reserved bytes are not zero");
  const known = {
    number: fields.getUint32(0),
    kind,
    codec,
    rawBytes: fields.getUint32(12),
    payload: new Uint8Array(0),
  };
  // Before the payload is waited for, so that a bad length cannot make us buffer 4 GiB.
  accepted(known, payloadBytes);

  const whole = input.peek(FRAME_HEADER_BYTES + payloadBytes);
  if (whole === undefined) return undefined;
  const payload = whole.subarray(FRAME_HEADER_BYTES);
  const got = { ...known, payload };
  const check = sha256([headerOf(got), payload]);
  if (!sameStart(check, header.subarray(CHECK_AT), CHECK_BYTES)) return damaged(`frame ${known.number}`);
  input.skip(whole.byteLength);
  return got;
}

const sameStart = (one: Uint8Array, other: Uint8Array, count: number): boolean => {
  for (let at = 0; at < count; at += 1) if (one[at] !== other[at]) return false;
  return true;
};
