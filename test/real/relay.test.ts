/** Real QEMUs migrate through a pair of relay processes, and what arrives is what left. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { checkTicker, ensureTicker, tickerMachine } from "../../src/lab/guest/ticker.ts";
import { memory, type Pair, type PairOptions, runState, startPair, statusOf, until } from "./relay-pair.ts";

const RAM_BYTES = 64 * 2 ** 20;

let dir: string;
let pairs: Pair[] = [];
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "relay-"));
});
afterEach(async () => {
  for (const pair of pairs) await pair.kill();
  pairs = [];
  rmSync(dir, { recursive: true, force: true });
});

async function ticking(options: Partial<PairOptions> = {}): Promise<Pair> {
  const ticker = await ensureTicker();
  const pair = await startPair({ dir, machine: tickerMachine("ticker", ticker), ...options });
  pairs.push(pair);
  return pair;
}

/** What the target got, before it runs, against the source that stopped; and the ticker's own judgement. */
async function expectSameMemory({ source, target }: Pair): Promise<void> {
  const ticker = await ensureTicker();
  const left = await memory(source, dir, RAM_BYTES);
  const arrived = await memory(target, dir, RAM_BYTES);
  expect(arrived.digest).toBe(left.digest);
  const walked = arrived.bytes.subarray(ticker.firstPage, ticker.firstPage + ticker.pages * 4096);
  expect(checkTicker(walked, ticker)).toMatchObject({ ok: true });
}

describe("pre-copy through relays", () => {
  it("brings the guest's memory over exactly, and both relays end by themselves", async () => {
    const pair = await ticking();
    await pair.migrate();
    setTimeout(async () => console.log(JSON.stringify([await pair.sourceRelay.status(), await pair.targetRelay.status(), await statusOf(pair.source), await statusOf(pair.target)])), 5000);
    await until("completed", async () => (await statusOf(pair.source)) === "completed");
    await until("loaded", async () => (await statusOf(pair.target)) === "completed");
    expect([await runState(pair.source), await runState(pair.target)]).toEqual(["postmigrate", "paused"]);
    await expectSameMemory(pair);
    const [source, target] = [await pair.sourceRelay.exited, await pair.targetRelay.exited];
    console.log(JSON.stringify({ source, target }));
    expect(source).toMatchObject({ phase: "done", error: null, mode: { kind: "encoding" } });
    expect(target).toMatchObject({ phase: "done", error: null });
    await pair.target.qmp.execute("cont", {});
    expect(await runState(pair.target)).toBe("running");
  });
});
