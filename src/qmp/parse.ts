/**
 * QMP's bytes as messages: the one place that looks at what a monitor socket sent. It decides what counts as QMP;
 * which reply belongs to which command is the client's business.
 *
 *   greeting  {"QMP": {"version": {"qemu": {major, minor, micro}, "package": …}, "capabilities": [...]}}
 *   reply     {"return": …, "id": …}
 *   refusal   {"error": {"class": …, "desc": …}, "id": …}
 *   event     {"event": …, "data": {…}?, "timestamp": …}
 */
import { CodedError } from "../std/errors.ts";

/** QEMU's longest known answer (query-qmp-schema) is below 300 KiB; anything far above is not a monitor. */
export const LINE_BYTES_MAX = 8 * 2 ** 20;

export interface QmpVersion {
  readonly major: number;
  readonly minor: number;
  readonly micro: number;
  readonly text: string;
}

export type QmpMessage =
  | { readonly kind: "greeting"; readonly version: QmpVersion; readonly capabilities: readonly string[] }
  | { readonly kind: "reply"; readonly id: unknown; readonly value: unknown }
  | { readonly kind: "refusal"; readonly id: unknown; readonly qmpClass: string; readonly desc: string }
  | { readonly kind: "event"; readonly event: string; readonly data: Readonly<Record<string, unknown>> };

type Json = Readonly<Record<string, unknown>>;

const refuse = (problem: string, cause?: unknown): CodedError =>
  new CodedError("QMP_PROTOCOL", { problem }, cause === undefined ? undefined : { cause });

const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const object = (value: unknown, what: string): Json => {
  if (!isObject(value)) throw refuse(`${what} is not an object`);
  return value;
};
const text = (value: unknown, what: string): string => {
  if (typeof value !== "string") throw refuse(`${what} is not a string`);
  return value;
};
const natural = (value: unknown, what: string): number => {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) {
    throw refuse(`${what} is not a natural number`);
  }
  return value;
};

function parseGreeting(body: unknown): QmpMessage {
  const greeting = object(body, "QMP");
  const version = object(greeting["version"], "QMP.version");
  const qemu = object(version["qemu"], "QMP.version.qemu");
  const major = natural(qemu["major"], "major");
  const minor = natural(qemu["minor"], "minor");
  const micro = natural(qemu["micro"], "micro");
  const capabilities = greeting["capabilities"];
  if (!Array.isArray(capabilities)) throw refuse("QMP.capabilities is not a list");
  return {
    kind: "greeting",
    version: { major, minor, micro, text: `${major}.${minor}.${micro}` },
    capabilities: capabilities.map((name) => text(name, "a capability")),
  };
}

/** One line, without its end. */
export function parseLine(line: string): QmpMessage {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    throw refuse(`a line is not JSON: ${line.slice(0, 80)}`, error);
  }
  const message = object(value, "a message");
  if ("return" in message) return { kind: "reply", id: message["id"], value: message["return"] };
  if ("error" in message) {
    const error = object(message["error"], "error");
    return {
      kind: "refusal",
      id: message["id"],
      qmpClass: text(error["class"], "error.class"),
      desc: text(error["desc"], "error.desc"),
    };
  }
  if ("event" in message) {
    // STOP, RESUME and others carry no data member.
    const data = message["data"] === undefined ? {} : object(message["data"], "data");
    return { kind: "event", event: text(message["event"], "event"), data };
  }
  if ("QMP" in message) return parseGreeting(message["QMP"]);
  throw refuse(`a message is neither reply, error, event nor greeting: ${line.slice(0, 80)}`);
}

const NEWLINE = 0x0a;

/** Bytes in, whole messages out; the same messages wherever the bytes are cut. Throws QMP_PROTOCOL and is then dead. */
export class QmpReader {
  readonly #lineBytesMax: number;
  #parts: Uint8Array[] = [];
  #partsBytes = 0;

  constructor(lineBytesMax = LINE_BYTES_MAX) {
    this.#lineBytesMax = lineBytesMax;
  }

  /** A generator, so that what came before a bad line in the same chunk is still delivered. */
  *push(chunk: Uint8Array): Generator<QmpMessage, void, undefined> {
    let from = 0;
    for (;;) {
      const end = chunk.indexOf(NEWLINE, from);
      this.#take(chunk.subarray(from, end === -1 ? chunk.length : end));
      if (end === -1) return;
      from = end + 1;
      const line = this.#line();
      if (line !== "") yield parseLine(line);
    }
  }

  #take(part: Uint8Array): void {
    // Judged before it is kept: a peer that never ends its line must not fill our memory.
    if (this.#partsBytes + part.length > this.#lineBytesMax) {
      throw refuse(`a line is longer than ${this.#lineBytesMax} bytes`);
    }
    if (part.length === 0) return;
    this.#parts.push(part);
    this.#partsBytes += part.length;
  }

  #line(): string {
    const bytes = Buffer.concat(this.#parts, this.#partsBytes);
    this.#parts = [];
    this.#partsBytes = 0;
    try {
      return new TextDecoder("utf-8", { fatal: true }).decode(bytes).trim();
    } catch (error) {
      throw refuse("a line is not UTF-8", error);
    }
  }
}
