/**
 * Unpacks LZ4's legacy frame, which Linux packs its kernel and its initial file systems in: a magic number, then blocks
 * of 8 MiB, each with its packed length in front. Formats: lz4, doc/lz4_Frame_format.md and doc/lz4_Block_format.md.
 */
const BLOCK_BYTES_MAX = 8 * 2 ** 20;

export const LZ4_LEGACY = [0x02, 0x21, 0x4c, 0x18] as const;

/** What follows the last block, as the kernel's length of itself does, is left. @throws RangeError on anything else. */
export function unpackLz4Legacy(packed: Uint8Array, bytesMax: number): Uint8Array {
  const input = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  if (LZ4_LEGACY.some((byte, at) => packed[at] !== byte)) throw new RangeError("lz4: no legacy frame");
  const blocks: Uint8Array[] = [];
  let total = 0;
  for (let at = 4; at + 4 <= packed.length;) {
    const length = input.getUint32(at, true);
    if (length === 0 || at + 4 + length > packed.length) break;
    const block = unpackBlock(
      packed.subarray(at + 4, at + 4 + length),
      Math.min(BLOCK_BYTES_MAX, bytesMax - total),
    );
    blocks.push(block);
    total += block.length;
    at += 4 + length;
  }
  return new Uint8Array(Buffer.concat(blocks, total));
}

function unpackBlock(from: Uint8Array, bytesMax: number): Uint8Array {
  const out = new Uint8Array(bytesMax);
  let [at, to] = [0, 0];
  const cut = (): never => {
    throw new RangeError("lz4: a block that cannot be");
  };
  /** 15 in the token: more follows, and 255 says that still more does. */
  const lengthOf = (nibble: number): number => {
    let length = nibble;
    for (let byte = nibble === 15 ? 255 : 0; byte === 255;) {
      byte = from[at++] ?? cut();
      length += byte;
    }
    return length;
  };
  for (;;) {
    const token = from[at++] ?? cut();
    const literals = lengthOf(token >> 4);
    if (at + literals > from.length || to + literals > bytesMax) cut();
    out.set(from.subarray(at, at + literals), to);
    at += literals;
    to += literals;
    if (at === from.length) return out.subarray(0, to);
    const back = (from[at] ?? cut()) | ((from[at + 1] ?? cut()) << 8);
    at += 2;
    const length = lengthOf(token & 15) + 4;
    if (back === 0 || back > to || to + length > bytesMax) cut();
    if (back >= length) out.copyWithin(to, to - back, to - back + length);
    else for (let step = 0; step < length; step += 1) out[to + step] = out[to + step - back] ?? 0;
    to += length;
  }
}
