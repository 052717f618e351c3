/** Both ends of a wire on one table: an encoder and a decoder that share nothing but the bytes carried between them. */
import { createHash } from "node:crypto";
import { crc32 as zlibCrc32 } from "node:zlib";

import { PAGE_BYTES, type Kernels } from "../../src/page/types.ts";
import type { Phase } from "../../src/wire/batch.ts";
import { Decoder, DECODER_BYTES, type RestoredPages } from "../../src/wire/decode.ts";
import { batchParts, Encoder, ENCODER_BYTES } from "../../src/wire/encode.ts";
import {
  encodeKeptHeader,
  KEPT_HEADER_BYTES,
  keptCheckBegun,
  keptContentsAt,
  PRINT_BYTES,
  readKeptHeader,
} from "../../src/wire/kept.ts";
import { PageStore } from "../../src/wire/store.ts";
import { slowKernels } from "./kernels.ts";

export const sha256 = (parts: readonly Uint8Array[]): Uint8Array => {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
};

export const crc32 = (bytes: Uint8Array, before = 0): number => zlibCrc32(bytes, before);

export const joined = (parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));

export class SendingEnd {
  readonly kernels: Kernels;
  readonly store: PageStore;
  readonly encoder: Encoder;

  constructor(slots: number, make = slowKernels) {
    this.kernels = make(PAGE_BYTES + ENCODER_BYTES + slots * PAGE_BYTES);
    this.kernels.bytes.fill(0);
    this.store = new PageStore(this.kernels, { base: PAGE_BYTES + ENCODER_BYTES, slots });
    this.encoder = new Encoder(this.kernels, this.store, PAGE_BYTES);
  }

  /** Through the first page of memory, which is then scribbled over: nobody may keep a position. */
  add(content: Uint8Array, block: number, page: number): number {
    this.kernels.bytes.set(content, 0);
    const op = this.encoder.add(0, block, page);
    this.kernels.bytes.fill(0xa5, 0, PAGE_BYTES);
    return op;
  }

  take(): Uint8Array | undefined {
    const batch = this.encoder.take();
    return batch === undefined ? undefined : joined(batchParts(batch));
  }
}

export class ReceivingEnd {
  readonly kernels: Kernels;
  readonly store: PageStore;
  readonly decoder: Decoder;

  constructor(slots: number, make = slowKernels) {
    this.kernels = make(DECODER_BYTES + slots * PAGE_BYTES);
    this.kernels.bytes.fill(0);
    this.store = new PageStore(this.kernels, { base: DECODER_BYTES, slots });
    this.decoder = new Decoder(this.kernels, this.store, 0);
  }

  decode(bytes: Uint8Array, vm: number, phase: Phase): RestoredPages {
    return this.decoder.decode(bytes, vm, phase);
  }
}

export const contentsOf = (end: { kernels: Kernels; store: PageStore }): string =>
  Buffer.from(
    sha256([end.kernels.bytes.subarray(end.store.positionOf(0), end.store.positionOf(end.store.slots))]),
  ).toString("hex");

const ZERO = new Uint8Array(PAGE_BYTES);

export const restoredPage = (end: ReceivingEnd, pages: RestoredPages, at: number): Uint8Array => {
  if (pages.isZero[at] === 1) return ZERO;
  const position = pages.positions[at] ?? 0;
  return end.kernels.bytes.slice(position, position + PAGE_BYTES);
};

type End = Pick<SendingEnd, "kernels" | "store">;

/** The end's store as a file; its guests are gone then. */
export function keptFile({ kernels, store }: End, id: bigint): Uint8Array {
  const kept = store.keep(id);
  const contents = kernels.bytes.slice(store.positionOf(0), store.positionOf(kept.used));
  // Nobody looks at these prints.
  const columns = [kept.flags, new Uint8Array(kept.used * PRINT_BYTES), contents];
  const check = columns.reduce((sum, column) => crc32(column, sum), keptCheckBegun(kept, crc32));
  return joined([encodeKeptHeader({ ...kept, check }), ...columns]);
}

/** An end that just began goes on with the store of this file. */
export function goOnWith({ kernels, store }: End, file: Uint8Array): void {
  const header = readKeptHeader(file, file.byteLength, store.slots);
  if (typeof header === "string") throw new Error(header);
  kernels.bytes.set(file.subarray(keptContentsAt(header.used)), store.positionOf(0));
  store.restore({ ...header, flags: file.slice(KEPT_HEADER_BYTES, KEPT_HEADER_BYTES + header.used) });
}
