/** How many cores of this machine were idle since the last time one asked. */
import { cpus } from "node:os";

export class IdleCores {
  #idleMs = 0;
  #allMs = 0;

  constructor() {
    this.take();
  }

  take(): number {
    const all = cpus();
    let idleMs = 0;
    let allMs = 0;
    for (const { times } of all) {
      idleMs += times.idle;
      allMs += times.user + times.nice + times.sys + times.idle + times.irq;
    }
    const share = allMs === this.#allMs ? 0 : (idleMs - this.#idleMs) / (allMs - this.#allMs);
    this.#idleMs = idleMs;
    this.#allMs = allMs;
    return Math.min(1, Math.max(0, share)) * all.length;
  }
}
