/**
 * The observers against a stand-in for a guest: the guest's own programs and a small key-value server, in a host's
 * namespace at the guest's address. Stopping those processes is the pause; no VM is needed.
 */
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { calibrate } from "../../src/lab/calibrate.ts";
import { ensurePrograms } from "../../src/lab/guest/programs.ts";
import { guestPorts } from "../../src/lab/guest/workloads.ts";
import { type LabGuest, type LabState, labDown, labUp, loadLab } from "../../src/lab/lab.ts";
import { GUEST_BRIDGE, guestAddress } from "../../src/lab/names.ts";
import { waitForEcho } from "../../src/lab/observe/client-place.ts";
import { observe } from "../../src/lab/observe/observe.ts";
import { logFiles, startObserver, stopObserver } from "../../src/lab/observe/processes.ts";
import { encodeRecord } from "../../src/lab/observe/records.ts";
import { processesIn, signalAll, startDetached } from "../../src/lab/processes.ts";
import { run } from "../../src/lab/run.ts";
import { changeLab } from "../../src/lab/state.ts";

const root = process.getuid?.() === 0;
if (!root) console.warn("observers.test.ts is skipped: network namespaces need root.");

/** SET and MGET of words without line breaks, which is all the client sends. */
const KEY_VALUE_SERVER = `
  const store = new Map();
  require("net").createServer((socket) => {
    let text = "";
    socket.on("error", () => {});
    socket.on("data", (piece) => {
      text += piece;
      for (;;) {
        const lines = text.split("\\r\\n");
        const words = Number(lines[0].slice(1));
        if (lines.length < 2 + 2 * words) return;
        const command = lines.slice(1, 1 + 2 * words).filter((_, i) => i % 2 === 1);
        text = lines.slice(1 + 2 * words).join("\\r\\n");
        if (command[0] === "SET") { store.set(command[1], command[2]); socket.write("+OK\\r\\n"); }
        else {
          const items = command.slice(1).map((key) => store.get(key));
          socket.write("*" + items.length + "\\r\\n" +
            items.map((v) => v === undefined ? "$-1\\r\\n" : "$" + v.length + "\\r\\n" + v + "\\r\\n").join(""));
        }
        if (text === "") return;
      }
    });
  }).listen(${guestPorts.redis});`;

const now = (): bigint => process.hrtime.bigint();

describe.runIf(root)("observers", () => {
  const home = mkdtempSync(join(tmpdir(), "gw-o-"));
  const before = process.env["GODWIT_LAB_HOME"];
  let lab: LabState;
  let guest: LabGuest;

  beforeAll(async () => {
    process.env["GODWIT_LAB_HOME"] = home;
    const programs = await ensurePrograms();
    lab = await labUp(
      { hosts: ["a"] },
      { prepare: () => Promise.resolve(), start: () => Promise.resolve(null) },
    );
    const netns = lab.hosts[0]?.netns ?? "";
    const address = guestAddress(lab.subnet, 0);
    await run("ip", ["-n", netns, "addr", "add", `${address}/24`, "dev", GUEST_BRIDGE]);
    const start = (command: readonly string[]): unknown =>
      startDetached({ netns, command, log: join(home, "stand-in.log") });
    start([programs.echo, String(guestPorts.echo)]);
    start([programs.beacon, lab.client.address, String(guestPorts.beacon), "1000"]);
    start([process.execPath, "-e", KEY_VALUE_SERVER]);
    guest = {
      name: "stand-in",
      host: "a",
      workload: "redis",
      params: {},
      address,
      number: 0,
      client: lab.client,
      reachableAt: [address],
      portOffset: 0,
      observer: null,
    };
    changeLab(lab.name, (state) => ({ ...state, guests: [guest] }));
    expect(await waitForEcho(guest, 10_000)).toBe(true);
    guest = await startObserver(lab, guest);
    lab = loadLab(lab.name);
  });

  afterAll(async () => {
    await labDown();
    if (before === undefined) delete process.env["GODWIT_LAB_HOME"];
    else process.env["GODWIT_LAB_HOME"] = before;
    rmSync(home, { recursive: true, force: true });
  });

  async function pause(ms: number): Promise<{ pausedAtNs: bigint; resumedAtNs: bigint }> {
    const those = await processesIn(lab.hosts[0]?.netns ?? "");
    signalAll(those, "SIGSTOP");
    const pausedAtNs = now();
    await sleep(ms);
    // Before the first of them goes on: what lies between the two times was a pause of all.
    const resumedAtNs = now();
    signalAll(those, "SIGCONT");
    return { pausedAtNs, resumedAtNs };
  }

  const written = (): number => statSync(logFiles(guest.observer?.folder ?? "").writes).size;

  /** Writes come at a constant rate, so the size of their log is the age of the baseline. */
  async function untilWritten(bytes: number): Promise<void> {
    await expect.poll(written, { timeout: 20_000 }).toBeGreaterThan(bytes);
  }

  it("see a pause, the client's and the writes' share of it, and that nothing was lost", async () => {
    await untilWritten(24 * 200 * 4);
    const t0Ns = now();
    const { pausedAtNs, resumedAtNs } = await pause(400);
    const seen = await observe(lab, "stand-in", { t0Ns, t6Ns: now(), tailMs: 2500, baselineMs: 2500 });
    const pausedMs = Number(resumedAtNs - pausedAtNs) / 1e6;
    // All stopped processes were stopped for all of it, so no answer can have come in between.
    expect(seen.downtime_ms?.client).toBeGreaterThan(pausedMs - 2);
    expect(seen.disruption_ms?.span).toBeGreaterThanOrEqual(300);
    expect(seen.correctness).toMatchObject({ verdict: "verified", lost_acknowledged_writes: 0 });
    expect(seen.correctness?.checks.every((check) => check.ok)).toBe(true);
    expect(seen.link?.shaped).toBe(false);
  });

  it("read injected pauses back", async () => {
    const { rows, readings } = await calibrate(lab, "stand-in", {
      injectPause: pause,
      pausesMs: [5, 50],
      repeats: 2,
    });
    expect(readings.length).toBe(4);
    for (const reading of readings) expect(reading.clientMs).toBeGreaterThan(reading.hostMs - 2);
    expect(rows.map((row) => [row.injectedMs, row.observer])).toEqual([
      [5, "host"],
      [5, "client"],
      [5, "guest"],
      [50, "host"],
      [50, "client"],
      [50, "guest"],
    ]);
  });

  it("notice one acknowledged write that is not there, and end with their guest", async () => {
    await stopObserver(lab, guest);
    const { writes } = logFiles(guest.observer?.folder ?? "");
    const size = written();
    expect(size).toBe(readFileSync(writes).length);
    appendFileSync(writes, encodeRecord(999_999_999, now(), now()));
    const seen = await observe(lab, "stand-in", { t0Ns: now() - 1_000_000_000n, t6Ns: now(), tailMs: 0 });
    expect(seen.correctness).toMatchObject({ verdict: "failed", lost_acknowledged_writes: 1 });
    expect(await processesIn(lab.client.netns ?? "")).toEqual([]);
    writeFileSync(writes, "");
  });
});
