/** Commands: their payloads to values and back. What a command means is left to others. */
import { Joiner, type Cursor } from "./bytes.ts";
import { PACKAGE_BYTES_MAX, RAM_BYTES_MAX } from "./limits.ts";
import { BYTE, type ByteRange, type Command } from "./types.ts";

const NUMBERS = {
  "open-return-path": 1,
  ping: 2,
  "postcopy-advise": 3,
  "postcopy-listen": 4,
  "postcopy-run": 5,
  "postcopy-discard": 6,
  packaged: 7,
  "enable-colo": 8,
  "postcopy-resume": 9,
  "recv-bitmap": 10,
  "switchover-start": 11,
} as const satisfies Record<Command["kind"], number>;

const KINDS: ReadonlyMap<number, Command["kind"]> = new Map(
  Object.entries(NUMBERS).map(([kind, number]) => [number, kind as Command["kind"]]),
);

const ADVISE_BYTES = 16;
const RANGE_BYTES = 16;
const DISCARD_VERSION = 0;

export type ParsedCommand = Command | { readonly kind: "unknown"; readonly number: number };

/** Reads one command, its first byte included; undefined when it is not there whole yet. */
export function parseCommand(cursor: Cursor): ParsedCommand | undefined {
  cursor.u8();
  const number = cursor.u16();
  const kind = KINDS.get(number);
  if (cursor.short) return undefined;
  if (kind === undefined) return { kind: "unknown", number };
  const length = cursor.u16();
  const from = cursor.at;
  const command = payload(kind, length, cursor);
  cursor.expect(cursor.at - from === length, `a ${kind} command of another length than ${length}`);
  return cursor.short ? undefined : command;
}

function payload(kind: Command["kind"], length: number, cursor: Cursor): Command {
  switch (kind) {
    case "ping":
      return { kind, value: cursor.u32() };
    case "postcopy-advise":
      if (length === 0) return { kind };
      cursor.expect(length === ADVISE_BYTES, `0 or ${ADVISE_BYTES} bytes of advice`);
      return { kind, sizes: { hostPages: cursor.u64n(), targetPage: cursor.u64n() } };
    case "postcopy-discard":
      return { kind, ...discard(length, cursor) };
    case "packaged": {
      const size = cursor.u32();
      cursor.limit(size, PACKAGE_BYTES_MAX, "bytes in a package");
      cursor.expect(size > 0, "a package that holds something");
      return { kind, size };
    }
    case "recv-bitmap":
      return { kind, block: cursor.name("a RAM block") };
    default:
      return { kind };
  }
}

function discard(length: number, cursor: Cursor): { block: string; ranges: ByteRange[] } {
  const end = cursor.at + length;
  cursor.expect(cursor.u8() === DISCARD_VERSION, `discard ranges of version ${DISCARD_VERSION}`);
  const block = cursor.name("a RAM block");
  cursor.expect(cursor.u8() === 0, "the zero byte behind a block's name");
  const rest = end - cursor.at;
  cursor.expect(rest > 0 && rest % RANGE_BYTES === 0, "one or more whole discard ranges");
  const ranges: ByteRange[] = [];
  while (!cursor.short && cursor.at < end) {
    const range = { start: cursor.u64(), length: cursor.u64() };
    cursor.limit(range.start + range.length, RAM_BYTES_MAX, "bytes of RAM");
    ranges.push(range);
  }
  return { block, ranges };
}

export function writeCommand(out: Joiner, command: Command): void {
  const body = new Joiner();
  if (command.kind === "ping") body.u32(command.value);
  if (command.kind === "packaged") body.u32(command.size);
  if (command.kind === "recv-bitmap") body.str8(command.block);
  if (command.kind === "postcopy-advise" && command.sizes !== undefined) {
    body.u64n(command.sizes.hostPages).u64n(command.sizes.targetPage);
  }
  if (command.kind === "postcopy-discard") {
    body.u8(DISCARD_VERSION).str8(command.block).u8(0);
    for (const { start, length } of command.ranges) body.u64(start).u64(length);
  }
  const bytes = body.done();
  out.u8(BYTE.command).u16(NUMBERS[command.kind]).u16(bytes.length).raw(bytes);
}
