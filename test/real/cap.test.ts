/** The relays' cap against what an interface counts: two network namespaces, TLS, nothing shaped but by the relays. */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { initCa, issueHost } from "../../src/agent/pki.ts";
import { run } from "../../src/lab/run.ts";
import { checkConfig, type RelayConfigInput } from "../../src/relay/config.ts";
import { relayStatus, type RelayStatus } from "../../src/relay/status.ts";
import { explainSkip, isRoot } from "./arena.ts";
import { until } from "./relay-pair.ts";

explainSkip("cap.test.ts");

const MAIN = join(import.meta.dirname, "../../src/relay/main.ts");
const SAMPLE_MS = 20;
const WINDOW_MS = 1000;
/** Connections' beginnings: certificates, TCP and TLS before the relay has said anything. */
const OVERTURE_BYTES = 20_000;
const OVER = 1.03;
/** And it is used, on a busy machine too: a cap that is kept by sending next to nothing is none. */
const UNDER = 0.6;

const netns = `gwcap${process.pid}`;
const near = `gwc${process.pid}a`;
const far = `gwc${process.pid}b`;
const [nearAddress, farAddress] = ["198.19.77.1", "198.19.77.2"];

/** The counter was read between these two times; a busy machine may let much time pass there. */
interface Sample {
  readonly afterMs: number;
  readonly beforeMs: number;
  readonly bytes: number;
}

/** Both directions, as the interface counts them. */
const counted = (): number =>
  ["tx_bytes", "rx_bytes"].reduce(
    (sum, name) => sum + Number(readFileSync(`/sys/class/net/${near}/statistics/${name}`, "utf8")),
    0,
  );

/** The most that any stretch certainly no longer than this carried. */
function most(samples: readonly Sample[], windowMs: number): number {
  let [best, from] = [0, 0];
  for (const sample of samples) {
    while (sample.beforeMs - (samples[from]?.afterMs ?? 0) > windowMs) from += 1;
    best = Math.max(best, sample.bytes - (samples[from]?.bytes ?? 0));
  }
  return best;
}

describe.runIf(isRoot)("a relay's cap", () => {
  let dir: string;
  let children: ChildProcess[] = [];
  let server: Server | undefined;
  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), "cap-"));
    await run("ip", ["netns", "add", netns]);
    await run("ip", ["link", "add", near, "type", "veth", "peer", "name", far, "netns", netns]);
    await run("ip", ["address", "add", `${nearAddress}/30`, "dev", near]);
    await run("ip", ["link", "set", near, "up"]);
    await run("ip", ["-n", netns, "address", "add", `${farAddress}/30`, "dev", far]);
    await run("ip", ["-n", netns, "link", "set", far, "up"]);
    const ca = join(dir, "ca");
    await initCa(ca);
    for (const [name, address] of [
      ["a", nearAddress],
      ["b", farAddress],
    ] as const) {
      await issueHost({ caDir: ca, name, addresses: [address], outDir: join(dir, name) });
    }
  });
  afterEach(async () => {
    for (const child of children) child.kill("SIGKILL");
    children = [];
    server?.close();
    await run("ip", ["netns", "delete", netns]).catch(() => {});
    await run("ip", ["link", "delete", near]).catch(() => {});
    rmSync(dir, { recursive: true, force: true });
  });

  const resultOf = (side: string): RelayStatus | undefined => {
    try {
      return relayStatus.parse(JSON.parse(readFileSync(join(dir, `${side}.json`), "utf8")));
    } catch {
      return undefined;
    }
  };

  function relay(inside: string | undefined, config: RelayConfigInput): ChildProcess {
    const file = join(dir, `${config.side}-config.json`);
    writeFileSync(file, JSON.stringify(checkConfig(config)));
    const command = [process.execPath, MAIN, file];
    const child =
      inside === undefined
        ? spawn(command[0] ?? "", command.slice(1), { stdio: ["ignore", "pipe", "inherit"] })
        : spawn("ip", ["netns", "exec", inside, ...command], { stdio: ["ignore", "pipe", "inherit"] });
    children.push(child);
    return child;
  }

  it.each([
    [1, 500_000, 4_000_000],
    [1, 8_000_000, 50_000_000],
    [4, 4_000_000, 24_000_000],
  ])(
    "over %d connections at %d bytes per second holds, as a whole and in every second",
    async (connections, rate, total) => {
      const common = {
        id: "m-1",
        capabilities: { postcopyRam: false },
        bandwidthBytesPerSecond: rate,
        codec: "off",
        encode: false,
      } as const;
      const files = (side: string) => ({
        qemuSocket: join(dir, `${side}-qemu.sock`),
        statusSocket: join(dir, `${side}.sock`),
        resultFile: join(dir, `${side}.json`),
      });
      const answers = createServer({ allowHalfOpen: true }, (socket) => {
        socket.resume();
        socket.on("end", () => socket.end(randomBytes(1000)));
      });
      server = answers;
      await new Promise<void>((resolve) => answers.listen(files("target").qemuSocket, resolve));
      const target = relay(netns, {
        ...common,
        ...files("target"),
        side: "target",
        tlsDir: join(dir, "b"),
        peerName: "a",
        listen: { address: farAddress, portMin: 0, portMax: 0 },
      });
      let said = "";
      target.stdout?.on("data", (text: Buffer) => (said += text.toString()));
      await until("the target listens", () => /port \d+/.test(said));
      relay(undefined, {
        ...common,
        ...files("source"),
        side: "source",
        tlsDir: join(dir, "a"),
        peerName: "b",
        connections,
        target: { address: farAddress, port: Number(/port (\d+)/.exec(said)?.[1]) },
      });
      const samples: Sample[] = [];
      const sample = (): void => {
        const afterMs = performance.now();
        const bytes = counted();
        samples.push({ afterMs, bytes, beforeMs: performance.now() });
      };
      const sampling = setInterval(sample, SAMPLE_MS);
      try {
        const qemu = connect({ path: await reachable(files("source").qemuSocket) });
        qemu.on("error", () => {}).resume();
        const beganMs = performance.now();
        qemu.end(randomBytes(total));
        await until("all is carried", () => resultOf("source") !== undefined, 60_000);
        sample();
        expect(resultOf("source")).toMatchObject({ error: null, qemuBytesIn: total });
        const seconds = (performance.now() - beganMs) / 1000;
        const carried = (samples.at(-1)?.bytes ?? 0) - (samples[0]?.bytes ?? 0);
        const perSecond = most(samples, WINDOW_MS) / (WINDOW_MS / 1000);
        const percent = (value: number): string => `${((100 * value) / rate).toFixed(1)} %`;
        console.log(
          `${connections} connections, cap ${rate} B/s: ${percent(carried / seconds)} over ${seconds.toFixed(1)} s, at most ${percent(perSecond)} in a second`,
        );
        expect(carried / seconds).toBeLessThan(rate * OVER + OVERTURE_BYTES / seconds);
        expect(carried / seconds).toBeGreaterThan(rate * UNDER);
        expect(perSecond).toBeLessThan(rate * OVER + OVERTURE_BYTES);
      } finally {
        clearInterval(sampling);
      }
    },
  );

  /** The relay makes it once the wire is up. */
  async function reachable(path: string): Promise<string> {
    await until(
      "the source's socket",
      () =>
        new Promise<boolean>((resolve) => {
          const status = connect(join(dir, "source.sock"));
          status.on("error", () => resolve(false));
          status.on("data", (text: Buffer) => {
            resolve(text.toString().includes('"phase":"connected"'));
            status.destroy();
          });
          status.write('{"do":"status"}\n');
        }),
    );
    return path;
  }
});
