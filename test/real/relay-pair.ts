/** Two real QEMUs with a pair of relays between them, for tests: no agents, no TLS unless asked for. */
import { createHash } from "node:crypto";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import type { MachineSpec } from "../../src/api/machine.ts";
import { startQemu } from "../../src/qemu/process.ts";
import type { QemuProcess } from "../../src/qemu/types.ts";
import type { MigrationInfo } from "../../src/qmp/commands.ts";
import { startRelay, type RelayProcess, type StartConfig } from "../../src/relay/start.ts";

const DEADLINE_MS = 15_000;

export async function until(
  what: string,
  condition: () => Promise<boolean> | boolean,
  deadlineMs = DEADLINE_MS,
): Promise<void> {
  const deadline = performance.now() + deadlineMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`waited in vain: ${what}`);
    await delay(5);
  }
}

export interface PairOptions {
  readonly dir: string;
  readonly machine: MachineSpec;
  readonly source?: QemuProcess;
  readonly capabilities?: readonly string[];
  readonly relay?: Partial<StartConfig>;
  readonly connections?: number;
  /** QEMU's own limit. */
  readonly maxBandwidth?: number;
  /** With certificates of hosts a and b in it. */
  readonly pki?: string;
  /** Between the relays: told the target's port, answers with the one to dial. */
  readonly between?: (port: number) => Promise<number>;
  /** Between the source's QEMU and its relay: told the relay's socket, answers with the one QEMU is to use. */
  readonly tap?: (socket: string) => Promise<string>;
}

export interface Pair {
  readonly source: QemuProcess;
  readonly target: QemuProcess;
  readonly sourceRelay: RelayProcess;
  readonly targetRelay: RelayProcess;
  migrate(): Promise<void>;
  kill(): Promise<void>;
}

const enable = (vm: QemuProcess, names: readonly string[]): Promise<unknown> =>
  vm.qmp.execute("migrate-set-capabilities", {
    capabilities: names.map((capability) => ({ capability, state: true })),
  });

export const start = (machine: MachineSpec, dir: string, incoming: boolean): Promise<QemuProcess> =>
  startQemu({
    binary: "qemu-system-x86_64",
    machine,
    accelerator: "tcg",
    forwardAddress: "127.0.0.1",
    dir,
    incoming,
  });

export async function startPair(options: PairOptions): Promise<Pair> {
  const { dir, machine, capabilities = [], pki } = options;
  const source = options.source ?? (await start(machine, join(dir, "source"), false));
  const target = await start(machine, join(dir, "target"), true);
  await enable(source, ["events", "return-path", ...capabilities]);
  await enable(target, ["events", "late-block-activate", ...capabilities]);
  const common = {
    id: "m-1",
    insecure: pki === undefined,
    capabilities: { postcopyRam: capabilities.includes("postcopy-ram") },
    bandwidthBytesPerSecond: null,
    codec: { level: 1 },
    encode: true,
    ...options.relay,
  } as const;
  const targetRelay = await startRelay(
    {
      ...common,
      side: "target",
      peerName: "a",
      ...(pki === undefined ? {} : { tlsDir: join(pki, "b") }),
      qemuSocket: join(dir, "target-in.sock"),
      listen: { address: "127.0.0.1", portMin: 0, portMax: 0 },
    },
    join(dir, "target-relay"),
  );
  const port = targetRelay.port ?? 0;
  const sourceRelay = await startRelay(
    {
      ...common,
      side: "source",
      peerName: "b",
      ...(pki === undefined ? {} : { tlsDir: join(pki, "a") }),
      qemuSocket: join(dir, "source-out.sock"),
      target: { address: "127.0.0.1", port: (await options.between?.(port)) ?? port },
      connections: options.connections ?? 1,
    },
    join(dir, "source-relay"),
  );
  return {
    source,
    target,
    sourceRelay,
    targetRelay,
    migrate: async () => {
      await until("the wire", async () => (await sourceRelay.status()).phase !== "waiting");
      await source.qmp.execute("migrate-set-parameters", {
        "max-bandwidth": options.maxBandwidth ?? 2 ** 33,
      });
      await target.qmp.execute("migrate-incoming", { uri: `unix:${join(dir, "target-in.sock")}` });
      const socket = join(dir, "source-out.sock");
      await source.qmp.execute("migrate", { uri: `unix:${(await options.tap?.(socket)) ?? socket}` });
    },
    kill: async () => {
      for (const each of [sourceRelay, targetRelay, source, target]) await each.kill();
    },
  };
}

export const statusOf = async (vm: QemuProcess): Promise<MigrationInfo["status"]> =>
  (await vm.qmp.execute("query-migrate", {})).status;
export const runState = async (vm: QemuProcess): Promise<string> =>
  (await vm.qmp.execute("query-status", {})).status;

/** A digest over the guest's physical memory, and the part of it asked for. */
export async function memory(
  vm: QemuProcess,
  dir: string,
  bytes: number,
  from = 0,
): Promise<{ readonly digest: string; readonly bytes: Buffer }> {
  const file = join(dir, `memory-${vm.handle.pid}`);
  await vm.qmp.execute("pmemsave" as never, { val: from, size: bytes, filename: file } as never);
  const content = readFileSync(file);
  rmSync(file);
  return { digest: createHash("sha256").update(content).digest("hex"), bytes: content };
}
