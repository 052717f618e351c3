/**
 * Frames between two relays, drawn in docs/wire.md. Decides what a whole and correct frame is; what its payload means
 * is left to others, as is compression: `payload` is what travels. Numbers are big-endian.
 *
 *   0        4        8       9       10      12               16      20
 *   +--------+--------+-------+-------+-------+----------------+-------+---------
 *   | number | length | kind  | codec | zero  | raw length     | check | payload
 *   +--------+--------+-------+-------+-------+----------------+-------+---------
 *     u32      u32      u8      u8      u16     u32              u32
 *
 * The check is the CRC-32 of header and payload where nothing below guards them, and 0 where TLS does: its own tags are
 * stronger and cost their time anyway.
 */
import {
  ABORT_CODE_BYTES_MAX,
  ABORT_SENTENCE_BYTES_MAX,
  FRAME_NUMBER_MAX,
  FRAME_PAYLOAD_BYTES_MAX,
} from "./limits.ts";
import { damaged, refuse } from "./refuse.ts";

/** CRC-32 of the bytes, going on from that of the bytes before. Handed in: this room imports nothing from outside. */
export type Crc32 = (bytes: Uint8Array, before?: number) => number;
/** undefined: TLS guards the bytes. */
export type FrameCheck = Crc32 | undefined;

export const FRAME_HEADER_BYTES = 20;
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

/** No frame outside the order has a longer payload. */
export const UNNUMBERED_BYTES_MAX = 1 + ABORT_CODE_BYTES_MAX + ABORT_SENTENCE_BYTES_MAX;

const RULES: Readonly<Record<number, KindRule>> = {
  [FrameKind.raw]: rule(true, true, 1, FRAME_PAYLOAD_BYTES_MAX),
  [FrameKind.pages]: rule(true, true, 1, FRAME_PAYLOAD_BYTES_MAX),
  [FrameKind.end]: rule(true, false, 0, 0),
  [FrameKind.return]: rule(true, true, 1, FRAME_PAYLOAD_BYTES_MAX),
  [FrameKind.credit]: rule(false, false, 4, 4),
  [FrameKind.ping]: rule(false, false, 8, 8),
  [FrameKind.pong]: rule(false, false, 8, 8),
  [FrameKind.abort]: rule(false, false, 2, UNNUMBERED_BYTES_MAX),
};

const isFrameKind = (kind: number): kind is FrameKind => RULES[kind] !== undefined;
const isCodec = (codec: number): codec is Codec => codec >= Codec.none && codec <= Codec.lz4;
/** Whether it stands in the order of its direction. */
export const isNumbered = (kind: FrameKind): boolean => ruleOf(kind).numbered;
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
    code: shown(coder.decode(abort.payload.subarray(1, 1 + codeBytes))),
    sentence: shown(coder.decode(abort.payload.subarray(1 + codeBytes))),
  };
}

/** It ends in logs and on terminals, which obey control characters. */
const shown = (text: string): string => text.replaceAll(/[\p{Cc}\p{Cf}]/gu, " ");

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

/** Writes a frame's header at the start of `out`. The payload may lie behind it already, or be written next. */
export function putHeader(out: Uint8Array, of: Frame, crc32: FrameCheck): void {
  const { number, kind, codec, rawBytes, payload } = accepted(of, of.payload.byteLength);
  const header = view(out.subarray(0, FRAME_HEADER_BYTES));
  header.setUint32(0, number);
  header.setUint32(4, payload.byteLength);
  header.setUint8(8, kind);
  header.setUint8(9, codec);
  header.setUint16(10, 0);
  header.setUint32(12, rawBytes);
  header.setUint32(CHECK_AT, 0);
  if (crc32 !== undefined) header.setUint32(CHECK_AT, checkOf(out, payload, crc32));
}

/** Over a header whose check is zero, and the payload. */
const checkOf = (header: Uint8Array, payload: Uint8Array, crc32: Crc32): number =>
  crc32(payload, crc32(header.subarray(0, FRAME_HEADER_BYTES)));

/** Header and payload, to be written one after the other; the payload is not copied. */
export function encodeFrame(
  of: Frame,
  crc32: FrameCheck,
): readonly [header: Uint8Array, payload: Uint8Array] {
  const header = new Uint8Array(FRAME_HEADER_BYTES);
  putHeader(header, of, crc32);
  return [header, of.payload];
}

/** A header that its payload may follow. */
export interface FrameHeader extends Frame {
  readonly payloadBytes: number;
  readonly check: number;
}

/** Refused before the payload is waited for, so that a bad length cannot make us buffer 4 GiB. */
export function readHeader(header: Uint8Array): FrameHeader {
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
    payloadBytes,
    check: fields.getUint32(CHECK_AT),
  };
  accepted(known, payloadBytes);
  return known;
}

/** The frame, if its bytes are those that were sent. `header` loses its check. */
export function checkedFrame(
  known: FrameHeader,
  header: Uint8Array,
  payload: Uint8Array,
  crc32: FrameCheck,
): Frame {
  const { number, kind, codec, rawBytes, check } = known;
  header.fill(0, CHECK_AT, FRAME_HEADER_BYTES);
  const want = crc32 === undefined ? 0 : checkOf(header, payload, crc32);
  if (check !== want) return damaged(`frame ${number}`);
  return { number, kind, codec, rawBytes, payload };
}
