/** How busy this host's processors are: idle ones over about the last second, by /proc/stat. */
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";

const LOOK_PERIOD_MS = 1_000;

interface Ticks {
  readonly idle: number;
  readonly all: number;
}

/** proc(5), /proc/stat, first line: user nice system idle iowait irq softirq steal guest guest_nice, in ticks. */
function readTicks(): Ticks | undefined {
  try {
    const [first = ""] = readFileSync("/proc/stat", "latin1").split("\n", 1);
    const [user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0, steal = 0] = first
      .split(/\s+/)
      .slice(1)
      .map(Number);
    return { idle: idle + iowait, all: user + nice + system + idle + iowait + irq + softirq + steal };
  } catch {
    return undefined;
  }
}

export class CpuMeter {
  readonly #timer: NodeJS.Timeout;
  #before = readTicks();
  #last: Ticks | undefined;

  constructor() {
    this.#timer = setInterval(() => {
      this.#before = this.#last ?? this.#before;
      this.#last = readTicks();
    }, LOOK_PERIOD_MS);
    this.#timer.unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  /** Of all processors that this process may use; all of them as long as nothing was measured. */
  idle(): { readonly cpus: number; readonly idleCpus: number } {
    const cpus = availableParallelism();
    const [before, now] = [this.#before, readTicks()];
    if (before === undefined || now === undefined || now.all <= before.all) return { cpus, idleCpus: cpus };
    const share = (now.idle - before.idle) / (now.all - before.all);
    return { cpus, idleCpus: Math.min(cpus, Math.max(0, cpus * share)) };
  }
}
