/** A small guest that moves from QEMU to QEMU through pairs of relays, its memory compared after each move. */
import { rmSync } from "node:fs";
import { join } from "node:path";

import { checkTicker, type Ticker, tickerMachine } from "../../src/lab/guest/ticker.ts";
import type { QemuProcess } from "../../src/qemu/types.ts";
import type { Move } from "./herd.ts";
import { memory, type Pair, start, startPair, statusOf, until } from "./relay-pair.ts";
import { Tap } from "./tap.ts";

const MEMORY = { text: "32MiB", bytes: 32 * 2 ** 20 } as const;
const DEADLINE_MS = 60_000;

export class PairGuest {
  readonly #dir: string;
  readonly #ticker: Ticker;
  #vm: QemuProcess;
  #vmDir: string;
  #pair: Pair | undefined;
  #moves = 0;

  private constructor(dir: string, ticker: Ticker, vm: QemuProcess, vmDir: string) {
    this.#dir = dir;
    this.#ticker = ticker;
    this.#vm = vm;
    this.#vmDir = vmDir;
  }

  static async start(dir: string, ticker: Ticker): Promise<PairGuest> {
    const vmDir = join(dir, "first");
    const vm = await start(tickerMachine("soak", ticker, { memory: MEMORY.text }), vmDir, false);
    return new PairGuest(dir, ticker, vm, vmDir);
  }

  /** To another QEMU, where it runs; the one it left ends. */
  async move(): Promise<Move> {
    const dir = join(this.#dir, String((this.#moves += 1)));
    const machine = tickerMachine("soak", this.#ticker, { memory: MEMORY.text });
    const tap = new Tap();
    const pair = await startPair({ dir, machine, source: this.#vm, tap: (socket) => tap.listen(socket) });
    this.#pair = pair;
    const began = performance.now();
    await pair.migrate();
    for (const vm of [pair.source, pair.target]) {
      await until("completed", async () => ended(await statusOf(vm)), DEADLINE_MS);
    }
    const totalMs = performance.now() - began;
    const left = await memory(pair.source, dir, MEMORY.bytes);
    const arrived = await memory(pair.target, dir, MEMORY.bytes);
    tap.close();
    if (left.digest !== arrived.digest) {
      throw new Error(
        `the memory that arrived is not the one that left: ${tap.compare(left.bytes, arrived.bytes)}`,
      );
    }
    this.#judge(arrived.bytes);
    const [source, target] = await Promise.all([pair.sourceRelay.exited, pair.targetRelay.exited]);
    for (const last of [source, target]) {
      if (last?.phase !== "done" || last.error !== null) throw new Error(`a relay: ${JSON.stringify(last)}`);
    }
    await pair.target.qmp.execute("cont", {});
    await this.#vm.kill();
    rmSync(this.#vmDir, { recursive: true, force: true });
    [this.#vm, this.#vmDir, this.#pair] = [pair.target, dir, undefined];
    // As each relay said with its last words.
    const resident = { "source's relay": source?.rssBytes ?? 0, "target's relay": target?.rssBytes ?? 0 };
    return { totalMs, resident };
  }

  /** Whether every page of the walk is where it must be. */
  async check(): Promise<void> {
    await this.#vm.qmp.execute("stop", {});
    this.#judge((await memory(this.#vm, this.#dir, MEMORY.bytes)).bytes);
  }

  #judge(bytes: Buffer): void {
    const { firstPage, pages } = this.#ticker;
    const verdict = checkTicker(bytes.subarray(firstPage, firstPage + pages * 4096), this.#ticker);
    if (!verdict.ok) throw new Error(`the ticker's pages: ${JSON.stringify(verdict)}`);
  }

  async kill(): Promise<void> {
    await this.#pair?.kill();
    await this.#vm.kill();
  }
}

function ended(status: string | undefined): boolean {
  if (status === "failed" || status === "cancelled") throw new Error(`the migration ${status}`);
  return status === "completed";
}
