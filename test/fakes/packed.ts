/** Small packed files for tests, by slow obvious encoders. */
import { constants, zstdCompressSync } from "node:zlib";

/** A block's lengths beyond 14 (or 18) go on in bytes of 255. */
const more = (length: number): number[] => {
  if (length < 15) return [];
  const rest = length - 15;
  return [...Array<number>(Math.floor(rest / 255)).fill(255), rest % 255];
};

/** Greedy: at each place the longest earlier match of four bytes or more, else a literal. */
function block(bytes: Uint8Array): number[] {
  const out: number[] = [];
  let literals: number[] = [];
  for (let at = 0; at < bytes.length;) {
    let [back, length] = [0, 0];
    // The last five bytes of a block are literals.
    for (let from = Math.max(0, at - 400); from < at; from += 1) {
      let same = 0;
      while (at + same < bytes.length - 5 && bytes[from + same] === bytes[at + same]) same += 1;
      if (same > length) [back, length] = [at - from, same];
    }
    if (length < 4) {
      literals.push(bytes[at] ?? 0);
      at += 1;
      continue;
    }
    const token = (Math.min(15, literals.length) << 4) | Math.min(15, length - 4);
    out.push(token, ...more(literals.length), ...literals, back & 255, back >> 8, ...more(length - 4));
    literals = [];
    at += length;
  }
  return [...out, Math.min(15, literals.length) << 4, ...more(literals.length), ...literals];
}

/** As `lz4 -l` writes it. */
export function legacyFrame(blocks: readonly Uint8Array[]): Uint8Array {
  const parts = blocks.map((bytes) => {
    const packed = Uint8Array.from(block(bytes));
    const length = Buffer.alloc(4);
    length.writeUInt32LE(packed.length);
    return Buffer.concat([length, packed]);
  });
  return new Uint8Array(Buffer.concat([Buffer.of(0x02, 0x21, 0x4c, 0x18), ...parts]));
}

/** An ELF file whose loaded segments hold these bytes, one after the other, behind a note that is not loaded. */
export function elfOf(segments: readonly Uint8Array[]): Uint8Array {
  const all = [Uint8Array.of(9, 9, 9), ...segments];
  const table = 64;
  const head = Buffer.alloc(table + all.length * 56);
  head.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  head.writeBigUInt64LE(BigInt(table), 32);
  head.writeUInt16LE(56, 54);
  head.writeUInt16LE(all.length, 56);
  let offset = head.length;
  for (const [index, bytes] of all.entries()) {
    const at = table + index * 56;
    head.writeUInt32LE(index === 0 ? 4 : 1, at);
    head.writeBigUInt64LE(BigInt(offset), at + 8);
    head.writeBigUInt64LE(BigInt(bytes.length), at + 32);
    offset += bytes.length;
  }
  return new Uint8Array(Buffer.concat([head, ...all]));
}

/** A bzImage around this payload; its set-up code is zeros. */
export function bzImageOf(payload: Uint8Array): Uint8Array {
  const setup = Buffer.alloc(2 * 512);
  setup.writeUInt8(1, 0x1f1);
  setup.write("HdrS", 0x202);
  setup.writeUInt16LE(0x020f, 0x206);
  setup.writeUInt32LE(16, 0x248);
  setup.writeUInt32LE(payload.length, 0x24c);
  return new Uint8Array(Buffer.concat([setup, Buffer.alloc(16), payload]));
}

/** As the kernel's build packs itself: with its unpacked length behind. */
export function zstdWithLength(bytes: Uint8Array): Uint8Array {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(bytes.length);
  const packed = zstdCompressSync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: 3 } });
  return new Uint8Array(Buffer.concat([packed, length]));
}
