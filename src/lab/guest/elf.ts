/**
 * Finds what a kernel module or a dynamically linked program needs, from the file's own bytes. Debian's packages carry
 * no modules.dep, and ldd would run the program; both answers lie in the files.
 */
import { programHeaders, PT_LOAD } from "../../boot/elf.ts";

/** Names a kernel module depends on, from its .modinfo section ("depends=a,b"). */
export function moduleDepends(file: Uint8Array): string[] {
  const text = Buffer.from(file.buffer, file.byteOffset, file.byteLength).toString("latin1");
  // eslint-disable-next-line no-control-regex -- .modinfo entries are separated by NUL bytes
  const found = /\0depends=([^\0]*)\0/.exec(text);
  return (found?.[1] ?? "").split(",").filter((name) => name !== "");
}

/** Every module after all that it needs; `read` gives a module's bytes by its name (with _ for -). */
export function insertOrder(wanted: readonly string[], read: (name: string) => Uint8Array): string[] {
  const order = new Set<string>();
  const visit = (name: string, above: readonly string[]): void => {
    if (order.has(name)) return;
    if (above.includes(name))
      throw new RangeError(`modules need each other: ${[...above, name].join(" → ")}`);
    for (const needed of moduleDepends(read(name))) visit(needed, [...above, name]);
    order.add(name);
  };
  for (const name of wanted) visit(name, []);
  return [...order];
}

const PT_DYNAMIC = 2;
const DT_NEEDED = 1n;
const DT_STRTAB = 5n;

/** DT_NEEDED entries of a 64-bit little-endian ELF file; none for a static one. */
export function neededLibraries(file: Uint8Array): string[] {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength);
  const headers = programHeaders(file);
  if (headers === undefined) throw new RangeError("not a 64-bit ELF file");
  const dynamic = headers.find(({ type }) => type === PT_DYNAMIC);
  if (dynamic === undefined) return [];
  const needed: number[] = [];
  let strings = 0;
  for (let at = dynamic.offset; at < dynamic.offset + dynamic.size; at += 16) {
    const value = Number(bytes.readBigUInt64LE(at + 8));
    const tag = bytes.readBigUInt64LE(at);
    if (tag === DT_NEEDED) needed.push(value);
    if (tag === DT_STRTAB) strings = value;
  }
  const load = headers.find(
    ({ type, address, size }) => type === PT_LOAD && strings >= address && strings < address + size,
  );
  if (load === undefined) return [];
  return needed.map((offset) => {
    const from = strings - load.address + load.offset + offset;
    return bytes.toString("latin1", from, bytes.indexOf(0, from));
  });
}
