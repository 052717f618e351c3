/**
 * How the bytes travel: what may be asked for, and what the relays count. `wire` chooses the way (QEMU to QEMU, or
 * through the pair of relays); everything else of a migration stays as it is.
 */
import { z } from "zod";

export const WIRES = ["auto", "direct", "relay"] as const;
export const wireChoice = z.enum(WIRES);
export type WireChoice = z.infer<typeof wireChoice>;

/** QEMU's own ways to carry a stream, for `direct`. Left out, the agent picks the best for the link. */
export const nativeWire = z.strictObject({
  /** Connections of multifd; 0 is the one stream without multifd. */
  channels: z.int().min(0).max(16).default(0),
  /** Of multifd's pages; needs channels. */
  compression: z.enum(["none", "zlib", "zstd"]).default("none"),
  level: z.int().min(0).max(20).default(1),
  /** XBZRLE's cache; 0 is off. Excludes multifd. */
  xbzrleCacheBytes: z.number().nonnegative().default(0),
});
export type NativeWire = z.infer<typeof nativeWire>;

/** What was decided, the same on both hosts. */
export const wirePlan = z.discriminatedUnion("path", [
  z.strictObject({ path: z.literal("direct"), native: nativeWire }),
  z.strictObject({
    path: z.literal("relay"),
    /** Off: bytes pass as QEMU wrote them, compressed at most. */
    encode: z.boolean(),
    connections: z.int().min(1).max(16),
    /** What the link was measured to carry. */
    linkBytesPerSecond: z.number().positive().optional(),
  }),
]);
export type WirePlan = z.infer<typeof wirePlan>;

/** What a relay did, told by the target's agent; null where none ran. */
export const relayAccount = z.strictObject({ cpuSeconds: z.number(), rssBytes: z.number() });
export type RelayAccount = z.infer<typeof relayAccount>;

/** Page records by what became of them; their sum is what QEMU sent. The keys are those of the report's `pages`. */
export const pageClasses = z.strictObject({
  zero: z.number(),
  raw: z.number(),
  compressed: z.number(),
  delta: z.number(),
  duplicate: z.number(),
  unchanged: z.number(),
  referenced: z.number(),
});
export type PageClasses = z.infer<typeof pageClasses>;

/** Live counters of the relay at the source. */
export const wireCounters = z.strictObject({
  pages: pageClasses,
  /** From this host's QEMU, and what was sent for it (frames, without TLS and TCP). */
  qemuBytes: z.number(),
  wireBytes: z.number(),
  /** qemuBytes per wireBytes; null while nothing travelled. */
  ratio: z.number().nullable(),
  relayCpuSeconds: z.number(),
  relayRssBytes: z.number(),
  /** Contents the target had from earlier migrations between these hosts when this one began. */
  keptPages: z.number().optional(),
  /** Contents of the files the guest was started from, which both hosts have; in the place of the above. */
  bootPages: z.number().optional(),
  /** Absent while it encodes; else why bytes pass as QEMU wrote them. */
  passThrough: z.string().optional(),
});
export type WireCounters = z.infer<typeof wireCounters>;
