/** Reads whole streams in pieces of any size, for tests: generated ones, recorded ones, and those of real QEMUs. */
import { encodeRecords } from "../../src/stream/encode.ts";
import type { StreamOptions } from "../../src/stream/parser.ts";
import { StreamReader, type StreamRecord } from "../../src/stream/records.ts";
import { encodeReturn, ReturnReader, type ReturnMessage } from "../../src/stream/return-path.ts";

type Pieces = Iterable<Uint8Array>;

export function* piecesOf(bytes: Uint8Array, size: number): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

/** All records; opaque bytes as one record, wherever they were cut. */
export function readPieces(pieces: Pieces, options: StreamOptions = {}): StreamRecord[] {
  const reader = new StreamReader(options);
  const records: StreamRecord[] = [];
  const opaque: Uint8Array[] = [];
  for (const piece of pieces) {
    reader.push(piece);
    for (const { record } of reader) {
      if (record.kind === "opaque") opaque.push(record.bytes);
      else records.push(record);
    }
  }
  if (opaque.length > 0) records.push({ kind: "opaque", bytes: new Uint8Array(Buffer.concat(opaque)) });
  return records;
}

export const readStream = (bytes: Uint8Array, options: StreamOptions = {}): StreamRecord[] =>
  readPieces([bytes], options);

/** A stream that broke off ends within a record; what was whole must come back. */
export function roundTrips(bytes: Uint8Array, size: number, options: StreamOptions = {}): boolean {
  const again = encodeRecords(readPieces(piecesOf(bytes, size), options));
  const whole = encodeRecords(readStream(bytes, options));
  return (
    again.length > 0 &&
    Buffer.compare(again, whole) === 0 &&
    Buffer.compare(again, bytes.subarray(0, again.length)) === 0 &&
    bytes.length - again.length < 0x1_2000
  );
}

export function readReturnPieces(pieces: Pieces): ReturnMessage[] {
  const reader = new ReturnReader();
  const messages: ReturnMessage[] = [];
  for (const piece of pieces) {
    reader.push(piece);
    for (const { message } of reader) messages.push(message);
  }
  return messages;
}

export const readReturn = (bytes: Uint8Array): ReturnMessage[] => readReturnPieces([bytes]);

export const returnRoundTrips = (bytes: Uint8Array, size: number): boolean =>
  Buffer.compare(Buffer.concat(readReturnPieces(piecesOf(bytes, size)).map(encodeReturn)), bytes) === 0;
