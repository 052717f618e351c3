/**
 * What a client outside the guest waits for its answers while the guest moves, slice by slice: told by whoever probes it,
 * drawn as a strip. Bounded: a long migration has wider slices, not more of them.
 */
import { z } from "zod";

export const LATENCY_SLICES_MAX = 300;

export const clientLatency = z.strictObject({
  /** The first slice begins when the migration was accepted. */
  slice_ms: z.number().positive(),
  /** Of what was asked in a slice, the longest wait, also of what was never answered; null where nothing was asked. */
  longest_ms: z.array(z.number().nonnegative().nullable()).max(LATENCY_SLICES_MAX),
});
export type ClientLatency = z.infer<typeof clientLatency>;
