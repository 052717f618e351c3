/**
 * Splits the device state at the end of a pre-copy into devices. Their sections have no length; the JSON behind them
 * describes each field, from which the length follows, and each section's footer proves it.
 */
import { Cursor, textAt, u32At } from "./bytes.ts";
import { invalid } from "./faults.ts";
import { DEVICE_STATE_BYTES_MAX, VMDESC_BYTES_MAX, VMDESC_DEPTH_MAX } from "./limits.ts";
import { BYTE } from "./types.ts";

export interface DeviceSection {
  readonly idstr: string;
  readonly instance: number;
  readonly version: number;
  readonly id: number;
  /** The section with head and footer lies in [from, to) of the tail; its body is `bodyBytes` long. */
  readonly from: number;
  readonly to: number;
  readonly bodyBytes: number;
}

const VMDESC_HEAD_BYTES = 5;
const FOOTER_BYTES = 5;

/**
 * `tail` is all that follows the last END of a pre-copy, to its end. Undefined when it holds no description: a machine
 * type may leave it out.
 * @throws CodedError STREAM_INVALID when description and bytes disagree.
 */
export function splitDevices(tail: Uint8Array): readonly DeviceSection[] | undefined {
  const end = descriptionAt(tail);
  if (end === undefined) return undefined;
  const devices = descriptions(tail.subarray(end + 1 + VMDESC_HEAD_BYTES), end);
  const sections: DeviceSection[] = [];
  let at = 0;
  for (const device of devices) {
    const section = splitOne(tail, at, end, device);
    sections.push(section);
    at = section.to;
  }
  if (at !== end) throw invalid(at, "the end of the device state");
  return sections;
}

/** Where the EOF byte in front of the description lies. The description reaches to the end, so its length finds it. */
function descriptionAt(tail: Uint8Array): number | undefined {
  if (tail.length > DEVICE_STATE_BYTES_MAX) return undefined;
  const first = Math.max(0, tail.length - VMDESC_BYTES_MAX);
  for (let at = tail.length - 1 - VMDESC_HEAD_BYTES; at >= first; at -= 1) {
    if (tail[at + 1] !== BYTE.vmdescription || tail[at] !== BYTE.eof) continue;
    if (u32At(tail, at + 2) === tail.length - at - 1 - VMDESC_HEAD_BYTES) return at;
  }
  return undefined;
}

function splitOne(tail: Uint8Array, from: number, end: number, device: unknown): DeviceSection {
  const cursor = new Cursor(tail, from, end, 0);
  cursor.expect(cursor.u8() === BYTE.full, "a device section");
  const id = cursor.u32();
  const idstr = cursor.str8();
  const instance = cursor.u32();
  const version = cursor.u32();
  const name = text(field(device, "name"));
  cursor.expect(idstr === name, `the section of ${name}, not of ${idstr}`);
  const bodyBytes = bodyLength(device, 0);
  const footer = cursor.at + bodyBytes;
  if (cursor.short || !(footer + FOOTER_BYTES <= end)) throw invalid(from, `${idstr} before the end`);
  if (tail[footer] !== BYTE.footer || u32At(tail, footer + 1) !== id)
    throw invalid(footer, `the footer of ${idstr}`);
  return { idstr, instance, version, id, from, to: footer + FOOTER_BYTES, bodyBytes };
}

function descriptions(json: Uint8Array, at: number): readonly unknown[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(textAt(json, 0, json.length));
  } catch (cause) {
    throw invalid(at, `a description in JSON (${String(cause)})`);
  }
  const devices = field(parsed, "devices");
  if (!Array.isArray(devices)) throw invalid(at, "a description of devices");
  return devices;
}

/** A subsection has its type, its name and a version in front of its body. */
function bodyLength(description: unknown, depth: number): number {
  if (depth > VMDESC_DEPTH_MAX) throw invalid(0, `subsections at most ${VMDESC_DEPTH_MAX} deep`);
  let total = 0;
  for (const one of list(field(description, "fields"))) {
    total += count(field(one, "size")) * count(field(one, "array_len") ?? 1);
  }
  for (const one of list(field(description, "subsections"))) {
    total += 1 + 1 + text(field(one, "vmsd_name")).length + 4 + bodyLength(one, depth + 1);
  }
  return total;
}

const field = (value: unknown, name: string): unknown =>
  typeof value === "object" && value !== null ? (value as Record<string, unknown>)[name] : undefined;
const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

/** Not `String`: of an object that would call what the description says. */
function text(value: unknown): string {
  if (typeof value !== "string") throw invalid(0, "a name in the description");
  return value;
}

function count(value: unknown): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) {
    throw invalid(0, "a field's size in the description");
  }
  return value;
}
