/** A batch that no correct encoder made against this store is refused, whole, and nothing of it is given out. */
import * as fc from "fast-check";
import { expect, test } from "vitest";

import { slowKernels } from "../../test/fakes/kernels.ts";
import { ReceivingEnd, SendingEnd } from "../../test/fakes/wire-pair.ts";
import { PAGE_BYTES, SUMS_BYTES, type Kernels } from "../page/types.ts";
import { CodedError } from "../std/errors.ts";
import { BatchColumns, Op, Phase } from "./batch.ts";
import { DECODER_BYTES } from "./decode.ts";
import { BATCH_BYTES_MAX, BATCH_DIGEST_BYTES, BATCH_HEADER_BYTES } from "./limits.ts";

const SLOTS = 8;
const PAGES = 16;
/** Behind the store: nothing may ever be written there, and no kernel may be called with it. */
const FENCE_BYTES = PAGE_BYTES;

/** Kernels that refuse every position outside what the decoder was given. */
const fenced = (byteLength: number): Kernels => {
  const kernels = slowKernels(byteLength + FENCE_BYTES);
  const guard = (...pages: number[]): void => {
    for (const page of pages) if (page + PAGE_BYTES > byteLength) throw new RangeError("beyond the fence");
  };
  return {
    memory: kernels.memory,
    bytes: kernels.bytes,
    isZero: (page) => (guard(page), kernels.isZero(page)),
    equal: (one, other) => (guard(one, other), kernels.equal(one, other)),
    copy: (from, to) => (guard(from, to), kernels.copy(from, to)),
    sums: (page, out) => (guard(page), kernels.sums(page, out)),
    deltaEncode: (base, page, out, limit) => (guard(base, page), kernels.deltaEncode(base, page, out, limit)),
    deltaDecode: (base, delta, length, out) => (
      guard(base, out),
      kernels.deltaDecode(base, delta, length, out)
    ),
    features: (page, out) => (guard(page), kernels.features(page, out)),
    wordClass: (page) => kernels.wordClass(page),
    digest: (sums, count, out) => (
      guard(sums + count * SUMS_BYTES - PAGE_BYTES),
      kernels.digest(sums, count, out)
    ),
  };
};

const receiver = (): ReceivingEnd => {
  const end = new ReceivingEnd(SLOTS, fenced);
  end.kernels.bytes.fill(0xfe, end.kernels.bytes.byteLength - FENCE_BYTES);
  for (let block = 0; block < 2; block += 1) end.store.addBlock(0, block, PAGES);
  return end;
};

const content = (seed: number, changedAt = -1): Uint8Array => {
  const bytes = new Uint8Array(PAGE_BYTES).map((_, at) => (at * 31 + seed * 97 + (at >> 5) * seed) % 251);
  if (changedAt >= 0) bytes[changedAt] = 255;
  return bytes;
};

/** Two batches with every operation in them. */
const realBatches = (): Uint8Array[] => {
  const end = new SendingEnd(SLOTS);
  for (let block = 0; block < 2; block += 1) end.store.addBlock(0, block, PAGES);
  end.encoder.begin(0, Phase.preCopy);
  const ops = new Set<number>();
  const send = (block: number, page: number, bytes: Uint8Array): unknown =>
    ops.add(end.add(bytes, block, page));
  for (let page = 0; page < 5; page += 1) send(0, page, content(page));
  send(1, 15, new Uint8Array(PAGE_BYTES));
  const first = end.take();
  send(0, 0, content(0));
  send(0, 1, content(1, 9));
  send(1, 1, content(2));
  send(1, 2, content(3));
  send(1, 3, content(4, 77));
  send(1, 4, content(11));
  const second = end.take();
  expect(ops).toEqual(new Set([1, 2, 3, 4, 5, 6]));
  return [first ?? new Uint8Array(0), second ?? new Uint8Array(0)];
};

const [FIRST, SECOND] = realBatches() as [Uint8Array, Uint8Array];

const PAYLOAD_AT = SECOND.byteLength - new DataView(SECOND.buffer).getUint32(16) - BATCH_DIGEST_BYTES;

/** The refusal's code; "" when it was taken. Anything but a refusal fails the test. */
const outcomeOf = (end: ReceivingEnd, bytes: Uint8Array): string => {
  try {
    end.decode(bytes, 0, Phase.preCopy);
    return "";
  } catch (error) {
    if (error instanceof CodedError) return error.code;
    throw error;
  } finally {
    const { bytes: memory } = end.kernels;
    expect(memory.subarray(memory.byteLength - FENCE_BYTES).every((byte) => byte === 0xfe)).toBe(true);
  }
};

const primed = (): ReceivingEnd => {
  const end = receiver();
  expect(outcomeOf(end, FIRST)).toBe("");
  return end;
};

test("real batches are taken", () => {
  expect(outcomeOf(primed(), SECOND)).toBe("");
});

test("a batch cut anywhere is refused", () => {
  const columns = PAYLOAD_AT;
  for (let cut = 0; cut < SECOND.byteLength; cut += cut < columns ? 1 : 997) {
    expect(outcomeOf(primed(), SECOND.subarray(0, cut))).toBe("WIRE_GARBAGE");
  }
});

test("any bit of a payload or digest that changed is refused", () => {
  const first = PAYLOAD_AT;
  fc.assert(
    fc.property(fc.integer({ min: first, max: SECOND.byteLength - 1 }), fc.nat(7), (at, bit) => {
      const changed = SECOND.slice();
      changed[at] = (changed[at] ?? 0) ^ (1 << bit);
      expect(["WIRE_DAMAGED", "WIRE_GARBAGE"]).toContain(outcomeOf(primed(), changed));
    }),
    { numRuns: 60 },
  );
});

test("a mutated batch is refused or decoded within bounds, and never anything else", () => {
  const end = { byteLength: SECOND.byteLength };
  const mutation = fc.oneof(
    { weight: 4, arbitrary: fc.record({ at: fc.nat(80), byte: fc.nat(255) }) },
    { weight: 1, arbitrary: fc.record({ at: fc.nat(end.byteLength - 1), byte: fc.nat(255) }) },
  );
  fc.assert(
    fc.property(fc.array(mutation, { minLength: 1, maxLength: 6 }), (mutations) => {
      const changed = SECOND.slice();
      for (const { at, byte } of mutations) changed[at] = byte;
      expect(["", "WIRE_DAMAGED", "WIRE_GARBAGE"]).toContain(outcomeOf(primed(), changed));
    }),
    { numRuns: 600 },
  );
});

test("any bytes are refused within bounds", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      expect(outcomeOf(primed(), bytes)).toBe("WIRE_GARBAGE");
    }),
    { numRuns: 200 },
  );
});

interface Page {
  readonly op: Op;
  readonly block?: number;
  readonly page?: number;
  readonly slot?: number;
  readonly deltaBytes?: number;
}

/** A batch put together by hand, well formed, with a digest of zeros. */
const batch = (
  pages: readonly Page[],
  payloadBytes = 0,
  phase: Phase = Phase.preCopy,
  vm = 0,
): Uint8Array => {
  const columns = new BatchColumns();
  for (const { op, block = 0, page = 0, slot, deltaBytes } of pages) {
    columns.page(op, block, page);
    if (slot !== undefined) columns.slot(slot);
    if (deltaBytes !== undefined) columns.deltaBytes(deltaBytes);
  }
  const head = columns.head(vm, phase, payloadBytes);
  const bytes = new Uint8Array(head.byteLength + payloadBytes + BATCH_DIGEST_BYTES);
  bytes.set(head);
  return bytes;
};

test("a batch put together by hand is taken when it is right", () => {
  expect(outcomeOf(primed(), batch([{ op: Op.zero }, { op: Op.unchanged, page: 1 }]))).toBe("");
});

test.each<readonly [string, Uint8Array, string]>([
  ["unchanged, never delivered", batch([{ op: Op.unchanged, page: 9 }]), "never delivered"],
  ["unchanged, last sent as zero", batch([{ op: Op.unchanged, block: 1, page: 15 }]), "never delivered"],
  ["a delta without a base", batch([{ op: Op.delta, page: 9, deltaBytes: 5 }], 5), "no base"],
  ["a delta that no encoder makes", batch([{ op: Op.delta, deltaBytes: 5 }], 5), "cannot be applied"],
  ["a duplicate of an empty slot", batch([{ op: Op.duplicate, slot: 7 }]), "slot 7 is empty"],
  ["a duplicate of a slot beyond the store", batch([{ op: Op.duplicate, slot: SLOTS }]), "is empty"],
  ["a duplicate of a slot beyond everything", batch([{ op: Op.duplicate, slot: 2 ** 31 - 1 }]), "is empty"],
  ["similar to an empty slot", batch([{ op: Op.similar, slot: 7, deltaBytes: 5 }], 5), "is empty"],
  ["a delta of no bytes", batch([{ op: Op.delta, deltaBytes: 0 }]), "a delta of 0 bytes"],
  ["a delta longer than a page", batch([{ op: Op.delta, deltaBytes: 4096 }], 4096), "a delta of 4096 bytes"],
  ["a payload that is too short", batch([{ op: Op.literal }], 4095), "not what its lengths say"],
  ["a payload that is too long", batch([{ op: Op.literal }, { op: Op.zero }], 4097), "not what its lengths"],
  ["a page beyond its block", batch([{ op: Op.zero, page: PAGES }]), "beyond RAM block"],
  ["an unknown block", batch([{ op: Op.zero, block: 2 }]), "RAM block 2 is unknown"],
  ["a block beyond the limit", batch([{ op: Op.zero, block: 5000 }]), "RAM block 5000 cannot be"],
  ["a page beyond the limit", batch([{ op: Op.zero, page: 2 ** 30 }]), "cannot be"],
  ["another guest's pages", batch([{ op: Op.zero }], 0, Phase.preCopy, 1), "not 0"],
  ["another phase's pages", batch([{ op: Op.zero }], 0, Phase.postCopy), "not 1"],
  ["unchanged in post-copy", batch([{ op: Op.unchanged }], 0, Phase.postCopy), "cannot be unchanged"],
  ["no pages at all", batch([]), "0 pages"],
  ["more than a batch may be", new Uint8Array(BATCH_BYTES_MAX + 1), "too long"],
])("refused: %s", (_name, bytes, words) => {
  expect(() => primed().decode(bytes, 0, Phase.preCopy)).toThrow(words);
});

const patched = (bytes: Uint8Array, at: number, ...values: number[]): Uint8Array => {
  const copy = bytes.slice();
  copy.set(values, at);
  return copy;
};

const OPS_AT = BATCH_HEADER_BYTES;
const twoZeros = batch([{ op: Op.zero }, { op: Op.zero, page: 1 }]);

test.each<readonly [string, Uint8Array, string]>([
  ["a phase 3", patched(twoZeros, 2, 3), "phase 3"],
  ["reserved bytes in use", patched(twoZeros, 3, 1), "reserved"],
  ["257 pages", patched(twoZeros, 4, 1, 1), "257 pages"],
  ["operation 0", patched(twoZeros, OPS_AT, 8), "operation 0"],
  ["operation 7", patched(twoZeros, OPS_AT, 15), "operation 7"],
  ["a run of operations beyond the batch", patched(twoZeros, OPS_AT, 8 * 31 + 1), "run of operations"],
  ["a run of pages beyond the batch", patched(twoZeros, OPS_AT + 1, 3 * 2 + 1), "run of pages"],
  ["a run of no pages", patched(twoZeros, OPS_AT + 1, 1), "run of pages"],
  ["a page before its block", patched(twoZeros, OPS_AT + 3, 1), "page -1"],
  ["no block", patched(twoZeros, OPS_AT + 1, 4), "RAM block -1"],
  ["a number without end", patched(twoZeros, OPS_AT + 1, 255, 255, 255), "ends too early"],
])("refused by its form: %s", (_name, bytes, words) => {
  expect(() => primed().decode(bytes, 0, Phase.preCopy)).toThrow(words);
});

test("a column with more than its pages is refused", () => {
  const longer = batch([{ op: Op.zero, slot: 1 }]);
  expect(() => primed().decode(longer, 0, Phase.preCopy)).toThrow("more than its pages");
});

test("after a refusal nothing is taken until both stores begin anew", () => {
  const end = primed();
  expect(outcomeOf(end, SECOND.subarray(1))).toBe("WIRE_GARBAGE");
  expect(outcomeOf(end, SECOND)).toBe("WIRE_GARBAGE");
  end.decoder.reset(2n);
  expect(outcomeOf(end, FIRST)).toBe("");
});

test("the region a decoder works in is what it says", () => {
  const end = receiver();
  expect(end.store.positionOf(0)).toBe(DECODER_BYTES);
});
