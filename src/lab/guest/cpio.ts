/**
 * Writes the "newc" cpio archive that Linux unpacks as its initial file system. Decides the byte layout only;
 * what goes in is image.ts's business. Format: Linux, Documentation/driver-api/early-userspace/buffer-format.rst.
 */

export type CpioEntry =
  | { readonly kind: "file"; readonly path: string; readonly data: Uint8Array; readonly mode?: number }
  | { readonly kind: "directory"; readonly path: string; readonly mode?: number }
  | { readonly kind: "link"; readonly path: string; readonly target: string }
  | { readonly kind: "device"; readonly path: string; readonly major: number; readonly minor: number };

const MAGIC = "070701";
const HEADER_BYTES = 110;
const TRAILER = "TRAILER!!!";
/** File-type bits of st_mode. */
const TYPE = { file: 0o100000, directory: 0o040000, link: 0o120000, device: 0o020000 } as const;
const NOTHING = new Uint8Array(0);

const padding = (length: number): number => (4 - (length % 4)) % 4;
const hex = (value: number): string => value.toString(16).padStart(8, "0");
const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

function record(
  inode: number,
  name: string,
  mode: number,
  data: Uint8Array,
  device: readonly [number, number],
): Uint8Array[] {
  const nameBytes = utf8(`${name}\0`);
  const links = (mode & 0o170000) === TYPE.directory ? 2 : 1;
  // inode, mode, uid, gid, nlink, mtime, size, devmajor, devminor, rdevmajor, rdevminor, namesize, check.
  // Time and owner are always 0: the same input gives the same bytes, so images can be cached by content.
  const fields = [inode, mode, 0, 0, links, 0, data.length, 0, 0, device[0], device[1], nameBytes.length, 0];
  return [
    utf8(MAGIC + fields.map(hex).join("")),
    nameBytes,
    new Uint8Array(padding(HEADER_BYTES + nameBytes.length)),
    data,
    new Uint8Array(padding(data.length)),
  ];
}

function entryRecord(entry: CpioEntry, inode: number): Uint8Array[] {
  if (entry.kind === "file") {
    return record(inode, entry.path, TYPE.file | (entry.mode ?? 0o644), entry.data, [0, 0]);
  }
  if (entry.kind === "directory") {
    return record(inode, entry.path, TYPE.directory | (entry.mode ?? 0o755), NOTHING, [0, 0]);
  }
  if (entry.kind === "link") {
    return record(inode, entry.path, TYPE.link | 0o777, utf8(entry.target), [0, 0]);
  }
  return record(inode, entry.path, TYPE.device | 0o600, NOTHING, [entry.major, entry.minor]);
}

/** Paths are relative ("bin/busybox"); a directory must come before what it holds, as the kernel makes none itself. */
export function writeCpio(entries: readonly CpioEntry[]): Uint8Array {
  const parts = entries.flatMap((entry, index) => entryRecord(entry, index + 1));
  parts.push(...record(0, TRAILER, 0, NOTHING, [0, 0]));
  return new Uint8Array(Buffer.concat(parts));
}
