/** Waits until what was before has settled, so that no run pays for the one before it. */
import { setTimeout as sleep } from "node:timers/promises";

import { IdleCores } from "../std/idle-cores.ts";

const LOOK_MS = 100;
/** Half a core of two is left while a guest writes; none while relays rehearse beside it (relay/standby.ts). */
const CALM_CORES = 0.5;
const CALM_LOOKS = 3;
/** A guest that takes every core never leaves it calm; then the run goes on as it is. */
const PATIENCE_MS = 10_000;

export async function calm(signal?: AbortSignal): Promise<void> {
  const cores = new IdleCores();
  const deadline = performance.now() + PATIENCE_MS;
  for (let looks = 0; looks < CALM_LOOKS && performance.now() < deadline;) {
    await sleep(LOOK_MS, undefined, signal === undefined ? {} : { signal });
    looks = cores.take() >= CALM_CORES ? looks + 1 : 0;
  }
}
