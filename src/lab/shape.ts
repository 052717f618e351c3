/**
 * Decides the numbers of a shaped link: token bucket, queue and the largest offloaded frame; reads back what the
 * kernel made of them. network.ts applies them.
 */
import { z } from "zod";

/** The slowest timer tick of common kernels: without high-resolution timers a bucket is filled this often. */
const SLOWEST_TICK_HZ = 250;
/** Ten full frames; below it one frame could never pass a nearly empty bucket. */
const BURST_MIN_BYTES = 16 * 1024;
const GSO_MAX_BYTES = 65_536;
/** A short queue: a deep one hides loss and adds delay to everything else on the link. */
const QUEUE_MS = 20;
const QUEUE_MIN_BYTES = 64 * 1024;

export interface Shape {
  readonly rateBytesPerSecond: number;
  readonly burstBytes: number;
  readonly queueBytes: number;
  /**
   * Frames with segmentation offload reach the shaper whole. One larger than the bucket must be segmented there or is
   * dropped, so the sending interface is told to make none above half a bucket.
   */
  readonly gsoMaxBytes: number;
}

/** Over any t seconds the link passes at most rate × t + burst; so the bucket is one tick's worth, not more. */
export function shapeOf(rateBytesPerSecond: number, delayMs: number): Shape {
  const burstBytes = Math.max(BURST_MIN_BYTES, Math.ceil(rateBytesPerSecond / SLOWEST_TICK_HZ));
  return {
    rateBytesPerSecond,
    burstBytes,
    // With delay, the queue also holds what one round trip of a single connection has under way.
    queueBytes: Math.max(
      QUEUE_MIN_BYTES,
      burstBytes,
      Math.ceil((rateBytesPerSecond * (QUEUE_MS + 2 * delayMs)) / 1000),
    ),
    gsoMaxBytes: Math.min(GSO_MAX_BYTES, Math.floor(burstBytes / 2)),
  };
}

export const tbfArguments = (shape: Shape): string[] => [
  "tbf",
  "rate",
  `${shape.rateBytesPerSecond * 8}bit`,
  "burst",
  String(shape.burstBytes),
  "limit",
  String(shape.queueBytes),
];

const qdiscs = z.array(
  z.looseObject({
    kind: z.string(),
    root: z.boolean().optional(),
    bytes: z.number().default(0),
    drops: z.number().default(0),
    options: z.looseObject({ rate: z.number().optional(), burst: z.number().optional() }).optional(),
  }),
);

/** @returns why the interface is not shaped as asked, or "" when it is. `text` is what `tc -s -j qdisc` printed. */
export function shapingFault(text: string, shape: Shape): string {
  let read: z.infer<typeof qdiscs>;
  try {
    read = qdiscs.parse(JSON.parse(text));
  } catch {
    return "tc printed something unknown";
  }
  const tbf = read.find((qdisc) => qdisc.kind === "tbf");
  if (tbf === undefined) return `no tbf, but ${read.map((qdisc) => qdisc.kind).join(", ") || "nothing"}`;
  const rate = tbf.options?.rate;
  // The kernel keeps rates in whole bytes per second, and times in ticks of 64 ns.
  if (rate === undefined || Math.abs(rate - shape.rateBytesPerSecond) > shape.rateBytesPerSecond * 0.01 + 1) {
    return `its rate is ${rate ?? "unknown"} bytes per second`;
  }
  return "";
}
