/**
 * What both sides say first on every connection. Decides whether they can talk, and whether the page store of an
 * earlier connection still serves; which limits the relay then uses is the smaller of both, and left to it.
 *
 *   0         4         6      7        8         9        10     12
 *   +---------+---------+------+--------+---------+--------+------+
 *   | "GDWT"  | version | role | stripe | stripes | codecs | zero |
 *   +---------+---------+------+--------+---------+--------+------+-----+-------------+
 *     u32       u16       u8     u8       u8        u8       u16
 *   12              16       18           20            24         32                 40        48            64       80
 *   +---------------+--------+------------+-------------+----------+------------------+---------+-------------+--------+
 *   | payload limit | window | batch      | store slots | store id | store operations | boot id | session     | check  |
 *   |               | frames | pages      |             |          |                  |         |             |        |
 *   +---------------+--------+------------+-------------+----------+------------------+---------+-------------+--------+
 *     u32             u16      u16          u32           u64        u64                u64       16 bytes      16 bytes
 */
import type { ByteQueue } from "./byte-queue.ts";
import { CodedError } from "../std/errors.ts";
import {
  BATCH_BYTES_MAX,
  BATCH_PAGES_MAX,
  FRAME_PAYLOAD_BYTES_MAX,
  STORE_SLOTS_MAX,
  STRIPES_MAX,
  WINDOW_FRAMES,
  WINDOW_FRAMES_MIN,
} from "./limits.ts";
import { damaged, refuse } from "./refuse.ts";

/** SHA-256 over the parts one after the other. Handed in: this room imports nothing from outside. */
export type Sha256 = (parts: readonly Uint8Array[]) => Uint8Array;

export const HELLO_BYTES = 80;
const CHECK_BYTES = 16;
export const SESSION_BYTES = 16;
export const WIRE_VERSION = 4;
const MAGIC = 0x47445754;
export const SESSION_AT = 48;
const CHECK_AT = HELLO_BYTES - CHECK_BYTES;

export const Role = { source: 1, target: 2 } as const;
export type Role = (typeof Role)[keyof typeof Role];

/** What a page store has been through: two with the same id and count hold the same. Id 0: an empty one. */
export interface StoreState {
  readonly id: bigint;
  readonly operations: bigint;
}

/** What of earlier a side could begin with. */
export interface StoreOffer {
  readonly store: StoreState;
  /** Of a store made from the files the guest was started from: a hash over its contents. 0: there is none. */
  readonly boot: bigint;
}

export interface Hello extends StoreOffer {
  readonly role: Role;
  readonly stripe: number;
  readonly stripes: number;
  /** Bit n is set: codec n is understood. Codec 0 always is. */
  readonly codecs: number;
  readonly payloadBytesMax: number;
  readonly windowFrames: number;
  readonly batchPages: number;
  readonly storeSlots: number;
  /** The same on every connection of one migration's attempt, so that connections of two attempts never mix. */
  readonly session: Uint8Array;
}

const U64_MAX = 2n ** 64n - 1n;
const within = (value: number, low: number, high: number): boolean =>
  Number.isInteger(value) && value >= low && value <= high;

function accepted(hello: Hello): Hello {
  const sound =
    (hello.role === Role.source || hello.role === Role.target) &&
    within(hello.stripes, 1, STRIPES_MAX) &&
    within(hello.stripe, 0, hello.stripes - 1) &&
    // What the other side's buffers hold must fit ours, and one batch must fit a frame.
    within(hello.payloadBytesMax, BATCH_BYTES_MAX, FRAME_PAYLOAD_BYTES_MAX) &&
    within(hello.windowFrames, WINDOW_FRAMES_MIN, WINDOW_FRAMES) &&
    within(hello.batchPages, 1, BATCH_PAGES_MAX) &&
    within(hello.storeSlots, 1, STORE_SLOTS_MAX) &&
    within(hello.codecs, 0, 255) &&
    hello.store.id >= 0n &&
    hello.store.id <= U64_MAX &&
    hello.store.operations >= 0n &&
    hello.store.operations <= U64_MAX &&
    hello.boot >= 0n &&
    hello.boot <= U64_MAX &&
    hello.session.byteLength === SESSION_BYTES;
  return sound ? hello : refuse("the hello names limits that cannot be");
}

export function encodeHello(hello: Hello, sha256: Sha256): Uint8Array {
  accepted(hello);
  const bytes = new Uint8Array(HELLO_BYTES);
  const out = new DataView(bytes.buffer);
  out.setUint32(0, MAGIC);
  out.setUint16(4, WIRE_VERSION);
  out.setUint8(6, hello.role);
  out.setUint8(7, hello.stripe);
  out.setUint8(8, hello.stripes);
  out.setUint8(9, hello.codecs);
  out.setUint32(12, hello.payloadBytesMax);
  out.setUint16(16, hello.windowFrames);
  out.setUint16(18, hello.batchPages);
  out.setUint32(20, hello.storeSlots);
  out.setBigUint64(24, hello.store.id);
  out.setBigUint64(32, hello.store.operations);
  out.setBigUint64(40, hello.boot);
  bytes.set(hello.session, SESSION_AT);
  bytes.set(sha256([bytes]).subarray(0, CHECK_BYTES), CHECK_AT);
  return bytes;
}

/** Takes the hello off the front of `input`; undefined while it is incomplete. */
export function tryReadHello(input: ByteQueue, sha256: Sha256): Hello | undefined {
  const start = input.peek(6);
  if (start === undefined) return undefined;
  const first = new DataView(start.buffer, start.byteOffset, start.byteLength);
  // These two are looked at before the rest: another version's hello may have another length.
  if (first.getUint32(0) !== MAGIC) return refuse("this is not the hello of a relay");
  const version = first.getUint16(4);
  if (version !== WIRE_VERSION) throw new CodedError("WIRE_VERSION", { got: version, want: WIRE_VERSION });

  const whole = input.peek(HELLO_BYTES);
  if (whole === undefined) return undefined;
  // Copied by constructor: what is queued may be a Buffer, and a Buffer's `slice` is a view.
  const bytes = new Uint8Array(whole);
  const check = bytes.slice(CHECK_AT);
  bytes.fill(0, CHECK_AT);
  const want = sha256([bytes]);
  if (check.some((byte, at) => byte !== want[at])) return damaged("the hello");
  const got = new DataView(bytes.buffer);
  if (got.getUint16(10) !== 0) return refuse("the hello's reserved bytes are not zero");
  input.skip(HELLO_BYTES);
  return accepted({
    role: got.getUint8(6) as Role,
    stripe: got.getUint8(7),
    stripes: got.getUint8(8),
    codecs: got.getUint8(9),
    payloadBytesMax: got.getUint32(12),
    windowFrames: got.getUint16(16),
    batchPages: got.getUint16(18),
    storeSlots: got.getUint32(20),
    store: { id: got.getBigUint64(24), operations: got.getBigUint64(32) },
    boot: got.getBigUint64(40),
    session: bytes.slice(SESSION_AT, SESSION_AT + SESSION_BYTES),
  });
}

export type Beginning = "kept" | "boot" | "empty";

/**
 * What both stores begin with. Both sides ask this of both hellos, so both get the same answer: a batch that was sent but
 * never applied makes the counts differ, and then what was kept is of no use to either. It goes before the boot files: it
 * grew out of them, and knows the guests too.
 */
export function beginningOf(one: Hello, other: Hello): Beginning {
  if (one.storeSlots !== other.storeSlots) return "empty";
  const { id, operations } = one.store;
  if (id !== 0n && id === other.store.id && operations === other.store.operations) return "kept";
  return one.boot !== 0n && one.boot === other.boot ? "boot" : "empty";
}
