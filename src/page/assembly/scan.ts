/** Whole pages, 64 bytes a step: is it zero, are two equal, copy. */
export const PAGE_BYTES: usize = 4096;

export function isZero(page: usize): bool {
  const end = page + PAGE_BYTES;
  for (let at = page; at < end; at += 64) {
    const one = v128.or(v128.load(at), v128.load(at, 16));
    const two = v128.or(v128.load(at, 32), v128.load(at, 48));
    if (v128.any_true(v128.or(one, two))) return false;
  }
  return true;
}

/** Whether the 64 bytes at both positions are the same. */
export function equal64(one: usize, other: usize): bool {
  const a = v128.xor(v128.load(one), v128.load(other));
  const b = v128.xor(v128.load(one, 16), v128.load(other, 16));
  const c = v128.xor(v128.load(one, 32), v128.load(other, 32));
  const d = v128.xor(v128.load(one, 48), v128.load(other, 48));
  return !v128.any_true(v128.or(v128.or(a, b), v128.or(c, d)));
}

export function equal(one: usize, other: usize): bool {
  for (let at: usize = 0; at < PAGE_BYTES; at += 64) {
    if (!equal64(one + at, other + at)) return false;
  }
  return true;
}

export function copy(from: usize, to: usize): void {
  memory.copy(to, from, PAGE_BYTES);
}
