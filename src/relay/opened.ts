/**
 * The memory a relay works in, and its page store: opened when it begins, or before, by one that waits (orders.ts). Then all
 * of it has been touched, and holds what the migration will most likely begin with: reading 40 MiB of it took two
 * relays 0.1 to 0.2 s of two cores, in which QEMU was to be started.
 */
import { setTimeout as delay } from "node:timers/promises";

import { type Kernels, PAGE_BYTES } from "../page/types.ts";
import { DECODER_BYTES } from "../wire/decode.ts";
import { Encoder, ENCODER_BYTES } from "../wire/encode.ts";
import type { KeptHeader } from "../wire/kept.ts";
import { STORE_SLOTS_DEFAULT } from "../wire/limits.ts";
import { PageStore } from "../wire/store.ts";
import { INTAKE_BYTES } from "./intake.ts";
import { loadKeptFile } from "./kept-file.ts";
import { openKernels } from "./kernels.ts";
import { BACKLOG_PAGES } from "./limits.ts";

/** What a store was brought to before anybody asked. */
export interface Held {
  readonly file: string;
  readonly header: KeptHeader;
}

export interface Opened {
  readonly kernels: Kernels;
  readonly store: PageStore;
  /** Of use to a source only. It knows what the store holds. */
  readonly encoder: Encoder;
  readonly held?: Held;
}

/** Of the kernels' memory, in front of the page store; either side's, since who waits does not know which it will be. */
const SOURCE_BYTES = INTAKE_BYTES + ENCODER_BYTES + (2 + BACKLOG_PAGES) * PAGE_BYTES;
const STORE_AT = Math.max(SOURCE_BYTES, DECODER_BYTES);

/**
 * V8 takes new memory for pressure and collects what is left of older; asked to (`gc`) it would go on to collect at every
 * turn, since it then expects the heap to stay as small.
 */
const COLLECTED_MS = 300;

let ahead: Opened | undefined;

/** What was opened ahead, once; else all zero and empty. */
export function openStore(slots: number): Opened {
  const opened = ahead;
  ahead = undefined;
  return opened?.store.slots === slots ? opened : openNew(slots);
}

function openNew(slots: number): Opened {
  const kernels = openKernels({ pages: STORE_AT / PAGE_BYTES + slots });
  const store = new PageStore(kernels, { base: STORE_AT, slots });
  return { kernels, store, encoder: new Encoder(kernels, store, INTAKE_BYTES) };
}

/**
 * Opens what is asked for later now, and touches all of it: where a page is touched first the kernel has to find and clear
 * it, which took 6 µs in a virtual machine, longer than what a relay does with a page. Then reads `file`, if there is one.
 * Leaves off where it is once `signal` says so: whoever asks then goes on.
 */
export async function openAhead(file: string | undefined, signal: AbortSignal): Promise<void> {
  const opened = openNew(STORE_SLOTS_DEFAULT);
  ahead = opened;
  await delay(COLLECTED_MS, undefined, { signal }).catch(() => {});
  if (signal.aborted) return;
  opened.kernels.bytes.fill(0);
  if (file === undefined) return;
  const { kernels, store, encoder } = opened;
  const filled = (first: number, end: number): void => encoder.remember(first, end);
  const header = await loadKeptFile(file, { kernels, store, filled, signal });
  if (typeof header === "string") encoder.reset(0n);
  else ahead = { ...opened, held: { file, header } };
}
