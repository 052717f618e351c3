/** What a relay says of itself: over its status socket while it runs, in its result file once it ended. JSON. */
import { z } from "zod";

import { noPages, type PageCounters, type ReportPages, reportPages, sumOf } from "../wire/counters.ts";

export const RELAY_PHASES = ["waiting", "connected", "copying", "post-copy", "done", "failed"] as const;
export type RelayPhase = (typeof RELAY_PHASES)[number];

const count = z.number().min(0);
const classCount = z.object({ pages: count, payloadBytes: count });
export const relayStatus = z.object({
  id: z.string(),
  side: z.enum(["source", "target"]),
  pid: z.int(),
  phase: z.enum(RELAY_PHASES),
  /** Where the target listens. */
  port: z.int().nullable(),
  mode: z.discriminatedUnion("kind", [
    z.object({ kind: z.literal("encoding") }),
    z.object({ kind: z.literal("pass-through"), reason: z.string() }),
  ]),
  /** From and to the QEMU beside this relay. */
  qemuBytesIn: count,
  qemuBytesOut: count,
  /** Frames with their headers, without TLS and TCP. */
  wireBytesIn: count,
  wireBytesOut: count,
  framesSent: count,
  roundTripMs: count.nullable(),
  /** QEMU's bytes per byte on the wire, in the stream's direction; null while nothing travelled. */
  ratio: z.number().nullable(),
  pageRecords: count,
  pages: z.object({
    zero: classCount,
    unchanged: classCount,
    delta: classCount,
    duplicate: classCount,
    similar: classCount,
    literal: classCount,
  }),
  reportPages: z.object({
    zero: count,
    raw: count,
    compressed: count,
    delta: count,
    duplicate: count,
    unchanged: count,
    referenced: count,
  }),
  /** Post-copy: not delivered yet, asked for and not passed yet, and copies that were dropped. */
  missingPages: count.nullable(),
  wantedPages: count,
  droppedPages: count,
  refusedConnections: count,
  /** Contents that both sides had when this one began: of earlier migrations, or of the files the guest was started from. */
  keptPages: count.default(0),
  bootPages: count.default(0),
  /** Why nothing of earlier migrations was of use, if it was kept. */
  keptNote: z.string().nullable().default(null),
  bandwidthBytesPerSecond: z.number().nullable(),
  cpuSeconds: z.number(),
  rssBytes: count,
  error: z.object({ code: z.string(), message: z.string() }).nullable(),
});
export type RelayStatus = z.infer<typeof relayStatus>;

/** Page classes, apart for batches that were compressed and batches that were not. */
export class PageCounts {
  #coded: PageCounters = noPages();
  #uncoded: PageCounters = noPages();

  add(counters: PageCounters, isCoded: boolean): void {
    if (isCoded) this.#coded = sumOf(this.#coded, counters);
    else this.#uncoded = sumOf(this.#uncoded, counters);
  }

  get all(): PageCounters {
    return sumOf(this.#coded, this.#uncoded);
  }
  get report(): ReportPages {
    return reportPages(this.#uncoded, this.#coded);
  }
}
