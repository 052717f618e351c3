/**
 * What is inside a post-copy's package: LISTEN first, device state without lengths, then PING and RUN. Only its ends
 * can be read, and they say what matters: once the last byte is delivered, the target may run.
 */
import { Cursor } from "./bytes.ts";
import { parseCommand } from "./commands.ts";
import { invalid } from "./faults.ts";

const LISTEN_BYTES = 5;
const PING_BYTES = 9;
const RUN_BYTES = 5;

export interface PackageParts {
  /** Device state lies in [from, to). */
  readonly from: number;
  readonly to: number;
  /** The value of the PING in front of RUN, when there is one: newer sources wait for its PONG. */
  readonly ping?: number;
}

/** @throws CodedError STREAM_INVALID when the package does not begin with LISTEN and end with RUN. */
export function packageParts(bytes: Uint8Array): PackageParts {
  const command = (at: number, length: number) =>
    at < 0 ? undefined : parseCommand(new Cursor(bytes, at, Math.min(bytes.length, at + length), 0));
  const run = bytes.length - RUN_BYTES;
  if (command(0, LISTEN_BYTES)?.kind !== "postcopy-listen")
    throw invalid(0, "LISTEN in front of the package");
  if (bytes[run] !== 0x08 || command(run, RUN_BYTES)?.kind !== "postcopy-run") {
    throw invalid(Math.max(0, run), "RUN at the package's end");
  }
  const at = run - PING_BYTES;
  const ping = at >= LISTEN_BYTES && isPing(bytes, at) ? command(at, PING_BYTES) : undefined;
  if (ping?.kind !== "ping") return { from: LISTEN_BYTES, to: run };
  return { from: LISTEN_BYTES, to: at, ping: ping.value };
}

/** Its first five bytes: device state in front of a RUN could hold anything. */
const isPing = (bytes: Uint8Array, at: number): boolean =>
  [0x08, 0x00, 0x02, 0x00, 0x04].every((byte, index) => bytes[at + index] === byte);
