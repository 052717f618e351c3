/** A pause of known length, stamped where every other time is stamped: when QEMU's event was read. */
import type { Qmp } from "../qmp/types.ts";
import { nowNs } from "./clock.ts";

export async function pauseFor(qmp: Qmp, ms: number): Promise<{ pausedAtNs: string; resumedAtNs: string }> {
  using events = qmp.events(["STOP", "RESUME"]);
  await qmp.execute("stop", {});
  try {
    const stopNs = nowNs();
    // Timers of Node are whole milliseconds late at best: sleep most of it, then look at the clock.
    const coarseMs = Math.floor(ms) - 2;
    if (coarseMs > 0) await new Promise((resolve) => setTimeout(resolve, coarseMs));
    const endNs = stopNs + BigInt(Math.round(ms * 1e6));
    while (nowNs() < endNs) await new Promise((resolve) => setImmediate(resolve));
  } finally {
    await qmp.execute("cont", {});
  }
  const at: Record<string, string> = {};
  for await (const { event, atNs } of events) {
    at[event] = String(atNs);
    if (at["STOP"] !== undefined && at["RESUME"] !== undefined) break;
  }
  return { pausedAtNs: at["STOP"] ?? "0", resumedAtNs: at["RESUME"] ?? "0" };
}
