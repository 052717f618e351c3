/**
 * Valid bytes made wrong, as fast-check arbitraries that shrink to few changes: bits flipped, stretches cut, doubled or
 * taken from another input, fields of 1 to 8 bytes set to what a length must never be, JSON's values to what no one expects.
 */
import * as fc from "fast-check";

export type Mutation =
  | { readonly kind: "flip"; readonly at: number; readonly bit: number }
  | { readonly kind: "byte"; readonly at: number; readonly value: number }
  | { readonly kind: "field"; readonly at: number; readonly bytes: number; readonly value: bigint }
  | { readonly kind: "cut"; readonly at: number; readonly count: number }
  | { readonly kind: "end"; readonly at: number }
  | { readonly kind: "double"; readonly at: number; readonly count: number; readonly to: number }
  | { readonly kind: "splice"; readonly at: number; readonly from: number; readonly count: number }
  | { readonly kind: "json"; readonly at: number; readonly value: number };

const FRONT_BYTES = 1500;
const STRETCH_MAX = 9000;

/** Heads are where lengths stand, so half of all places are in front; places count from the end when negative. */
const place = fc.oneof(
  fc.nat(FRONT_BYTES),
  fc.nat(60),
  fc.nat(2 ** 30),
  fc.nat(200).map((back) => -1 - back),
);
const stretch = fc.oneof(fc.integer({ min: 1, max: 16 }), fc.integer({ min: 1, max: STRETCH_MAX }));

const width = fc.constantFrom(1, 2, 4, 8);
const extreme = width.chain((bytes) => {
  const top = 2n ** BigInt(bytes * 8);
  return fc.record({
    bytes: fc.constant(bytes),
    value: fc.constantFrom(0n, 1n, top - 1n, top / 2n, top / 2n - 1n, top - 4096n, top / 4n, 2n ** 13n % top),
  });
});

const DEEP = 20_000;
/** What a program that is told a value takes for a number, a name or a list. */
const JSON_VALUES = [
  '{"toString":1,"valueOf":1}',
  `${"[".repeat(DEEP)}${"]".repeat(DEEP)}`,
  '{"__proto__":{"size":1}}',
  "9007199254740991",
  "9007199254740993",
  "1e308",
  "-1",
  "0.5",
  "null",
  '""',
  "[]",
  "{}",
] as const;

const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  fc.record({ kind: fc.constant("flip" as const), at: place, bit: fc.nat(7) }),
  fc.record({ kind: fc.constant("byte" as const), at: place, value: fc.nat(255) }),
  fc.tuple(place, extreme).map(([at, field]) => ({ kind: "field" as const, at, ...field })),
  fc.record({ kind: fc.constant("cut" as const), at: place, count: stretch }),
  fc.record({ kind: fc.constant("end" as const), at: place }),
  fc.record({ kind: fc.constant("double" as const), at: place, count: stretch, to: place }),
  fc.record({ kind: fc.constant("splice" as const), at: place, from: place, count: stretch }),
  fc.record({ kind: fc.constant("json" as const), at: place, value: fc.nat(JSON_VALUES.length - 1) }),
);

export const mutations = fc.array(mutation, { minLength: 1, maxLength: 5 });

const inside = (at: number, length: number): number =>
  length === 0 ? 0 : at < 0 ? Math.max(0, length + at) : at % length;

/** `other`: where a splice takes from. */
export function mutated(
  bytes: Uint8Array,
  changes: readonly Mutation[],
  other: Uint8Array,
): Uint8Array<ArrayBuffer> {
  return changes.reduce((now, change) => apply(now, change, other), new Uint8Array(bytes));
}

function apply(bytes: Uint8Array<ArrayBuffer>, change: Mutation, other: Uint8Array): Uint8Array<ArrayBuffer> {
  const at = inside(change.at, bytes.length);
  switch (change.kind) {
    case "flip":
      bytes[at] = (bytes[at] ?? 0) ^ (1 << change.bit);
      return bytes;
    case "byte":
      bytes[at] = change.value;
      return bytes;
    case "field":
      for (let index = 0; index < change.bytes && at + index < bytes.length; index += 1) {
        bytes[at + index] = Number((change.value >> BigInt(8 * (change.bytes - 1 - index))) & 0xffn);
      }
      return bytes;
    case "cut":
      return joined(bytes.subarray(0, at), bytes.subarray(at + change.count));
    case "end":
      return bytes.slice(0, at);
    case "double": {
      const to = inside(change.to, bytes.length);
      return joined(bytes.subarray(0, to), bytes.subarray(at, at + change.count), bytes.subarray(to));
    }
    case "splice": {
      const from = inside(change.from, other.length);
      return joined(bytes.subarray(0, at), other.subarray(from, from + change.count), bytes.subarray(at));
    }
    case "json": {
      const colon = bytes.indexOf(0x3a, at);
      if (colon < 0) return bytes;
      const end = bytes.findIndex((byte, index) => index > colon && (byte === 0x2c || byte === 0x7d));
      const value = new TextEncoder().encode(JSON_VALUES[change.value]);
      return joined(bytes.subarray(0, colon + 1), value, bytes.subarray(end < 0 ? bytes.length : end));
    }
  }
}

const joined = (...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> =>
  new Uint8Array(Buffer.concat(parts));
