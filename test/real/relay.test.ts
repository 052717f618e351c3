/** Real QEMUs migrate through a pair of relay processes, and what arrives is what left. */
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { initCa, issueHost } from "../../src/agent/pki.ts";
import { checkTicker, ensureTicker, tickerMachine } from "../../src/lab/guest/ticker.ts";
import {
  memory,
  type Pair,
  type PairOptions,
  runState,
  start,
  startPair,
  statusOf,
  until,
} from "./relay-pair.ts";

const RAM_BYTES = 64 * 2 ** 20;
/** Slow enough that a copy is still under way when the test acts. */
const SLOW_BYTES_PER_SECOND = 20_000;

/** Of QEMU's own limit, in a pre-copy that post-copy is to end: its first round lasts 40 s, or 5 s. */
const HARDLY_COPYING = 50_000;
const COPYING_BYTES_PER_SECOND = 400_000;

let dir: string;
let pairs: Pair[] = [];
let proxies: Server[] = [];
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "relay-"));
});
afterEach(async () => {
  for (const pair of pairs) await pair.kill();
  for (const proxy of proxies) proxy.close();
  [pairs, proxies] = [[], []];
  rmSync(dir, { recursive: true, force: true });
});

async function ticking(options: Partial<PairOptions> = {}): Promise<Pair> {
  const ticker = await ensureTicker();
  const pair = await startPair({ dir, machine: tickerMachine("ticker", ticker), ...options });
  pairs.push(pair);
  return pair;
}

const completed = async ({ source, target }: Pair): Promise<void> => {
  await until("completed at the source", async () => (await statusOf(source)) === "completed");
  await until("loaded at the target", async () => (await statusOf(target)) === "completed");
};

/** What the target got, before it runs, against the source that stopped; and the ticker's own judgement. */
async function expectSameMemory({ source, target }: Pair): Promise<void> {
  const ticker = await ensureTicker();
  const left = await memory(source, dir, RAM_BYTES);
  const arrived = await memory(target, dir, RAM_BYTES);
  expect(arrived.digest).toBe(left.digest);
  const walked = arrived.bytes.subarray(ticker.firstPage, ticker.firstPage + ticker.pages * 4096);
  expect(checkTicker(walked, ticker)).toMatchObject({ ok: true });
}

async function expectRelaysDone({ sourceRelay, targetRelay }: Pair): Promise<void> {
  expect(await sourceRelay.exited).toMatchObject({ phase: "done", error: null });
  expect(await targetRelay.exited).toMatchObject({ phase: "done", error: null });
}

describe("pre-copy through relays", () => {
  it("brings the guest's memory over exactly, and both relays end by themselves", async () => {
    const pair = await ticking();
    await pair.migrate();
    await completed(pair);
    expect([await runState(pair.source), await runState(pair.target)]).toEqual(["postmigrate", "paused"]);
    await expectSameMemory(pair);
    await expectRelaysDone(pair);
    const last = await pair.sourceRelay.status();
    expect(last.mode).toEqual({ kind: "encoding" });
    expect(last.wireBytesOut).toBeLessThan(last.qemuBytesIn);
    await pair.target.qmp.execute("cont", {});
    expect(await runState(pair.target)).toBe("running");
  });

  it("does so over three connections with TLS", async () => {
    const pki = join(dir, "pki");
    await initCa(join(pki, "ca"));
    for (const name of ["a", "b"]) {
      await issueHost({ caDir: join(pki, "ca"), name, addresses: ["127.0.0.1"], outDir: join(pki, name) });
    }
    const pair = await ticking({ connections: 3, pki });
    await pair.migrate();
    await completed(pair);
    await expectSameMemory(pair);
    await expectRelaysDone(pair);
  });

  it("does so with bytes passed through as they are", async () => {
    const pair = await ticking({ relay: { encode: false, codec: "off" } });
    await pair.migrate();
    await completed(pair);
    await expectSameMemory(pair);
    await expectRelaysDone(pair);
  });
});

async function fetching(pair: Pair): Promise<void> {
  const { source, target } = pair;
  await pair.migrate();
  await until("copying", async () => (await statusOf(source)) === "active");
  await source.qmp.execute("migrate-start-postcopy", {});
  await until("the package is loaded", async () => (await runState(target)) === "paused");
}

describe("post-copy through relays", () => {
  it.each([
    ["at once", 0],
    ["after pages were copied", 1_200_000],
  ])("delivers each page once, switched %s, and the guest finds its memory", async (_when, copiedBytes) => {
    const pair = await ticking({
      capabilities: ["postcopy-ram"],
      maxBandwidth: copiedBytes > 0 ? COPYING_BYTES_PER_SECOND : HARDLY_COPYING,
    });
    const { source, target } = pair;
    await source.qmp.execute("migrate-set-parameters", { "max-postcopy-bandwidth": 300_000 });
    await pair.migrate();
    if (copiedBytes > 0) {
      await until("copied", async () => (await pair.sourceRelay.status()).qemuBytesIn > copiedBytes);
    }
    await source.qmp.execute("migrate-start-postcopy", {});
    await until("the package is loaded", async () => (await runState(target)) === "paused");
    const answered = (await pair.targetRelay.status()).qemuBytesIn;
    await target.qmp.execute("cont", {});
    // Switched late, less is missing, and all of it may come unasked.
    if (copiedBytes === 0) {
      await until("asked for", async () => (await pair.targetRelay.status()).qemuBytesIn > answered);
    }
    await source.qmp.execute("migrate-set-parameters", { "max-postcopy-bandwidth": 0 });
    await completed(pair);
    await expectRelaysDone(pair);
    const last = await pair.targetRelay.status();
    expect([last.missingPages, last.droppedPages]).toEqual([0, 0]);
    await target.qmp.execute("stop", {});
    const ticker = await ensureTicker();
    const { bytes } = await memory(target, dir, ticker.pages * 4096, ticker.firstPage);
    expect(checkTicker(bytes, ticker)).toMatchObject({ ok: true });
  });

  it("pauses on both sides when a relay dies, and nothing is lost", async () => {
    const pair = await ticking({ capabilities: ["postcopy-ram"], maxBandwidth: HARDLY_COPYING });
    const { source, target } = pair;
    await source.qmp.execute("migrate-set-parameters", { "max-postcopy-bandwidth": 50_000 });
    await fetching(pair);
    await pair.targetRelay.kill();
    await until("paused at the source", async () => (await statusOf(source)) === "postcopy-paused");
    await until("paused at the target", async () => (await statusOf(target)) === "postcopy-paused");
    expect(await pair.sourceRelay.exited).toMatchObject({ error: { code: "LINK_LOST" } });
  });
});

describe("a fault before the hand-over", () => {
  // Compressed, all that this small guest has may fit into what a relay holds, and there is nothing left to cancel.
  const slow = { relay: { bandwidthBytesPerSecond: SLOW_BYTES_PER_SECOND, codec: "off" } } as const;

  it.each(["sourceRelay", "targetRelay"] as const)(
    "leaves the guest running when the %s is killed",
    async (which) => {
      const pair = await ticking(slow);
      await pair.migrate();
      await until("copying", async () => (await pair.targetRelay.status()).qemuBytesOut > 0);
      await pair[which].kill();
      await until("failed", async () => (await statusOf(pair.source)) === "failed");
      expect(await runState(pair.source)).toBe("running");
      const other = which === "sourceRelay" ? pair.targetRelay : pair.sourceRelay;
      expect(await other.exited).toMatchObject({ phase: "failed", error: { code: "LINK_LOST" } });
    },
  );

  it("never loads what was changed on the way", async () => {
    const pair = await ticking({ between: (port) => flipping(port, 20_000) });
    await pair.migrate();
    await until("failed", async () => (await statusOf(pair.source)) === "failed");
    expect(await runState(pair.source)).toBe("running");
    expect(await pair.targetRelay.exited).toMatchObject({ error: { code: "WIRE_DAMAGED" } });
    // The target's word may be lost: a connection that is closed with bytes unread is reset.
    expect(await pair.sourceRelay.exited).toMatchObject({
      error: { code: expect.stringMatching(/^(PEER_REFUSED|LINK_LOST)$/) },
    });
  });

  it("ends both relays when the migration is cancelled, and the guest goes on", async () => {
    const pair = await ticking(slow);
    await pair.migrate();
    await until("copying", async () => (await pair.targetRelay.status()).qemuBytesOut > 0);
    await pair.source.qmp.execute("migrate_cancel", {});
    await until("cancelled", async () => (await statusOf(pair.source)) === "cancelled");
    expect(await runState(pair.source)).toBe("running");
    expect(await pair.sourceRelay.exited).toMatchObject({ error: { code: "QEMU_CLOSED" } });
    await pair.targetRelay.exited;
  });
});

/** Flips one bit of what goes to the target. */
function flipping(port: number, at: number): Promise<number> {
  let passed = 0;
  const server = createServer((near: Socket) => {
    const far = connect(port, "127.0.0.1");
    near.on("data", (bytes: Buffer) => {
      if (passed <= at && at < passed + bytes.length) bytes[at - passed] = (bytes[at - passed] ?? 0) ^ 1;
      passed += bytes.length;
      far.write(bytes);
    });
    far.pipe(near);
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      one.on("error", () => other.destroy());
      one.on("close", () => other.destroy());
    }
  });
  proxies.push(server);
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      resolve(address !== null && typeof address === "object" ? address.port : 0);
    });
  });
}

describe("one guest moved again and again", () => {
  it("arrives every time, and the relays need no more memory at the end", async () => {
    const ticker = await ensureTicker();
    const machine = tickerMachine("ticker", ticker);
    let source = await start(machine, join(dir, "first"), false);
    const rss: number[] = [];
    for (let round = 0; round < 20; round += 1) {
      const pair = await startPair({ dir: join(dir, String(round)), machine, source });
      pairs = [pair];
      await pair.migrate();
      await completed(pair);
      await expectRelaysDone(pair);
      rss.push((await pair.sourceRelay.status()).rssBytes, (await pair.targetRelay.status()).rssBytes);
      await pair.target.qmp.execute("cont", {});
      await source.kill();
      source = pair.target;
    }
    await source.qmp.execute("stop", {});
    const { bytes } = await memory(source, dir, ticker.pages * 4096, ticker.firstPage);
    expect(checkTicker(bytes, ticker)).toMatchObject({ ok: true });
    const mib = rss.map((each) => Math.round(each / 2 ** 20));
    console.log(`resident MiB of the relays, source and target by turns: ${mib.join(" ")}`);
    expect(Math.max(...mib)).toBeLessThan(256);
  });
});
