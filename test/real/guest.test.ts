/** The lab's guests on a plain QEMU: they boot, answer, and notice when their memory is not what they wrote. */
import { spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { beforeAll, describe, expect, test } from "vitest";

import { ensureGuest } from "../../src/lab/guest/image.ts";
import type { GuestFiles } from "../../src/lab/guest/image.ts";
import { ensurePrograms } from "../../src/lab/guest/programs.ts";
import { GUEST_FAILED, GUEST_READY, guestMachine } from "../../src/lab/guest/spec.ts";
import { checkTicker, ensureTicker, tickerMachine } from "../../src/lab/guest/ticker.ts";
import { guestPorts } from "../../src/lab/guest/workloads.ts";
import type { WorkloadName } from "../../src/lab/guest/workloads.ts";
import { askLine, freePort, startGuest, until } from "./qemu-guest.ts";
import type { TestGuest } from "./qemu-guest.ts";

const BOOT_TIMEOUT_MS = 60_000;
const RECORD_BYTES = 24;

let files: GuestFiles;
beforeAll(async () => {
  files = await ensureGuest();
});

async function boot(
  workload: WorkloadName,
  params: Record<string, unknown>,
  forwards: readonly string[],
): Promise<TestGuest> {
  const machine = guestMachine({
    name: `test-${workload}`,
    workload,
    params,
    address: "10.0.2.15",
    prefix: 24,
    clientAddress: "10.0.2.2",
    mac: "52:54:00:67:77:01",
    bridge: "user",
    files,
  });
  const guest = await startGuest(machine, forwards);
  try {
    const text = await until("the guest", BOOT_TIMEOUT_MS, async () => {
      const seen = await guest.console();
      return seen.includes(GUEST_READY) || seen.includes(GUEST_FAILED) ? seen : undefined;
    });
    expect(text).toContain(GUEST_READY);
    expect(text).not.toContain(GUEST_FAILED);
    return guest;
  } catch (error) {
    await guest[Symbol.asyncDispose]();
    throw error;
  }
}

function records(bytes: Buffer): (readonly [bigint, bigint, bigint])[] {
  expect(bytes.length % RECORD_BYTES).toBe(0);
  return Array.from({ length: bytes.length / RECORD_BYTES }, (_, index) => {
    const at = index * RECORD_BYTES;
    return [
      bytes.readBigUInt64LE(at),
      bytes.readBigUInt64LE(at + 8),
      bytes.readBigUInt64LE(at + 16),
    ] as const;
  });
}

async function echoes(port: number, length: number): Promise<void> {
  const socket = createSocket("udp4");
  try {
    const sent = Buffer.alloc(length, "godwit");
    const answer = once(socket, "message", { signal: AbortSignal.timeout(10_000) }) as Promise<[Buffer]>;
    socket.send(sent, port, "127.0.0.1");
    expect((await answer)[0]).toEqual(sent);
  } finally {
    socket.close();
  }
}

describe("an idle guest", () => {
  test("echoes unchanged, and the probe sees answers and beacon in order on the host's clock", async () => {
    const { probe } = await ensurePrograms();
    const echo = await freePort();
    await using _guest = await boot("idle", {}, [`hostfwd=udp:127.0.0.1:${echo}-:${guestPorts.echo}`]);
    for (const length of [0, 1, 1400]) await echoes(echo, length);
    const output = await mkdtemp(join(tmpdir(), "godwit-probe-"));
    const startedNs = process.hrtime.bigint();
    const child = spawn(
      probe,
      // The second address has no listener: asked as well, never answering, harmless.
      `0 ${guestPorts.beacon} 1000 ${output} 127.0.0.1:${echo} 127.0.0.1:${await freePort()}`.split(" "),
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    const exit = once(child, "exit") as Promise<[number | null, NodeJS.Signals | null]>;
    try {
      for (const name of ["probe.bin", "beacon.bin"]) {
        await until(`200 records in ${name}`, 20_000, async () => {
          const bytes = await readFile(join(output, name)).catch(() => Buffer.alloc(0));
          return bytes.length >= 200 * RECORD_BYTES ? true : undefined;
        });
      }
      child.kill("SIGTERM");
      expect(await exit).toEqual([0, null]);
      const endedNs = process.hrtime.bigint();

      const answers = records(await readFile(join(output, "probe.bin")));
      expect(new Set(answers.map(([seq]) => seq)).size).toBe(answers.length);
      for (const [, sentNs, receivedNs] of answers) {
        expect(sentNs >= startedNs && receivedNs >= sentNs && receivedNs <= endedNs).toBe(true);
      }
      const beacons = records(await readFile(join(output, "beacon.bin")));
      for (const [index, [tick, guestNs, receivedNs]] of beacons.entries()) {
        expect(receivedNs >= startedNs && receivedNs <= endedNs).toBe(true);
        const before = beacons[index - 1];
        if (before === undefined) continue;
        expect(tick > before[0] && guestNs > before[1]).toBe(true);
        // The tick is the guest's clock in periods: both tell the same time, to a period or two.
        const apart = Number(guestNs - before[1]) / 1e6 - Number(tick - before[0]);
        expect(Math.abs(apart)).toBeLessThan(2);
      }
    } finally {
      child.kill("SIGKILL");
      await exit;
      await rm(output, { recursive: true, force: true });
    }
  });
});

describe("the writer", () => {
  test.each(["unique", "text", "mixed", "partial"])(
    "with %s content finds its memory whole, and one flipped bit in it",
    async (content) => {
      const port = await freePort();
      await using _guest = await boot("writer", { set: "8MiB", rate: "8MiB/s", pattern: "random", content }, [
        `hostfwd=tcp:127.0.0.1:${port}-:${guestPorts.writer}`,
      ]);
      const ask = async (line: string): Promise<Record<string, unknown>> =>
        JSON.parse(await askLine(port, `${line}\n`)) as Record<string, unknown>;
      await until("a write to every page, on average", 20_000, async () =>
        Number((await ask("stats"))["writes"]) > 2048 ? true : undefined,
      );
      expect(await ask("verify")).toMatchObject({ pages: 2048, bad: 0, firstBad: null });
      await ask("pause");
      const still = await ask("verify");
      expect(await ask("verify")).toEqual(still);
      await ask("corrupt 1234");
      expect(await ask("verify")).toMatchObject({ bad: 1, firstBad: 1234 });
      await ask("resume");
      expect(await ask("rate 1")).toEqual({ targetMiBs: 1 });
      expect(await ask("rate fast")).toHaveProperty("error");
    },
  );
});

describe("the redis guest", () => {
  test("answers PING and keeps what is SET", async () => {
    const port = await freePort();
    await using _guest = await boot("redis", {}, [`hostfwd=tcp:127.0.0.1:${port}-:${guestPorts.redis}`]);
    const socket = connect(port, "127.0.0.1");
    try {
      const answers = await new Promise<string>((resolve, reject) => {
        let text = "";
        socket.setTimeout(10_000, () => reject(new Error(`redis said only ${text}`)));
        socket.on("error", reject);
        socket.on("data", (bytes) => {
          text += bytes.toString();
          if (text.split("\r\n").length > 4) resolve(text);
        });
        socket.write("PING\r\nSET bird godwit\r\nGET bird\r\n");
      });
      expect(answers).toBe("+PONG\r\n+OK\r\n$6\r\ngodwit\r\n");
    } finally {
      socket.destroy();
    }
  });
});

describe("the ticker", () => {
  test("counts through its pages, and its memory passes the check whenever it is stopped", async () => {
    const ticker = await ensureTicker();
    await using guest = await startGuest(tickerMachine("ticker", ticker));
    const letters = "abcdefghijklmnopqrstuvwxyz";
    for (const passes of [3, 40]) {
      await until(`${passes} passes`, 20_000, async () =>
        (await guest.console()).length >= passes ? true : undefined,
      );
      await guest.qmp("stop");
      const dump = join(guest.dir, "memory");
      await guest.qmp("pmemsave", {
        val: ticker.firstPage,
        size: ticker.pages * 4096,
        filename: dump,
      });
      const said = await guest.console();
      const verdict = checkTicker(await readFile(dump), ticker);
      expect(verdict).toMatchObject({ ok: true });
      // A letter is said after the last page is done.
      expect([said.length, said.length + 1]).toContain(verdict.passes);
      expect(said).toBe(letters.repeat(Math.ceil(said.length / 26)).slice(0, said.length));
      await guest.qmp("cont");
    }
  });
});
