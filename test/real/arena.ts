/**
 * Two hosts with real agents, real QEMUs and the ticker as guest, for tests of what the product must withstand. Knows
 * how to start a guest, arm a fault, wait until a migration is settled, and say where the guest ran and runs.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import type { FaultDemand } from "../../src/agent/fault.ts";
import { connectAgent, type GodwitClient } from "../../src/api/client.ts";
import type { VmView } from "../../src/api/host.ts";
import type { MachineSpec } from "../../src/api/machine.ts";
import { type MigrateRequest, migrateRequest, type MigrationView } from "../../src/api/migration.ts";
import { runningAgent } from "../../src/lab/agents.ts";
import { ensureTicker, type Ticker, tickerMachine } from "../../src/lab/guest/ticker.ts";
import { type LabRequest, type LabState, labDown, labUp, startAgent } from "../../src/lab/lab.ts";
import { isAlive, processesIn, waitGone } from "../../src/lab/processes.ts";
import { run } from "../../src/lab/run.ts";
import { hostOf } from "../../src/lab/state.ts";
import { CodedError } from "../../src/std/errors.ts";

export const isRoot = process.getuid?.() === 0;
export const explainSkip = (file: string): void => {
  if (!isRoot) console.warn(`${file} is skipped: agents in network namespaces need root.`);
};

const POLL_MS = 15;
const SETTLE_DEADLINE_MS = 30_000;
const RUN_DEADLINE_MS = 20_000;
const GROWTH_WINDOW_MS = 1_500;

/** Polls until the answer is not undefined; says what was waited for when time is over. */
export async function until<T>(
  what: string,
  timeoutMs: number,
  look: () => Promise<T | undefined> | T | undefined,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const seen = await look();
    if (seen !== undefined) return seen;
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms for ${what}`);
    await sleep(POLL_MS);
  }
}

export type Host = "a" | "b";
export const HOSTS: readonly Host[] = ["a", "b"];
export const otherHost = (host: Host): Host => (host === "a" ? "b" : "a");

/** One plain stream from QEMU to QEMU: what a test is about unless it says otherwise. */
const QEMU_ITSELF = { wire: "direct", native: { channels: 0 } } as const;

export class Arena {
  readonly lab: LabState;
  readonly #home: string;
  readonly #ticker: Ticker;
  readonly #faults: string;
  #guests = 0;
  #demands = 0;

  private constructor(lab: LabState, home: string, ticker: Ticker) {
    this.lab = lab;
    this.#home = home;
    this.#ticker = ticker;
    this.#faults = join(home, "faults.json");
  }

  static async up(request: Partial<LabRequest> = {}): Promise<Arena> {
    const home = mkdtempSync(join(tmpdir(), "gw-"));
    process.env["GODWIT_LAB_HOME"] = home;
    process.env["GODWIT_FAULTS"] = join(home, "faults.json");
    try {
      const lab = await labUp({ name: "l", hosts: ["a", "b"], ...request });
      return new Arena(lab, home, await ensureTicker());
    } catch (error) {
      rmSync(home, { recursive: true, force: true });
      throw error;
    }
  }

  async down(): Promise<void> {
    await labDown("l");
    rmSync(this.#home, { recursive: true, force: true });
    delete process.env["GODWIT_LAB_HOME"];
    delete process.env["GODWIT_FAULTS"];
  }

  client(host: Host): GodwitClient {
    return connectAgent(hostOf(this.lab, host).socket);
  }

  netns(host: Host): string {
    const { netns } = hostOf(this.lab, host);
    if (netns === null) throw new Error("the lab has no namespaces");
    return netns;
  }

  stateDir(host: Host): string {
    return hostOf(this.lab, host).stateDir;
  }

  vmsDir(host: Host): string {
    return join(this.stateDir(host), "vms");
  }

  agentPid(host: Host): number {
    const handle = runningAgent(hostOf(this.lab, host));
    if (handle === null) throw new Error(`the agent of ${host} does not run`);
    return handle.pid;
  }

  /** With a NIC, so that a tap left behind is noticed. */
  machine(name: string, memory = "32MiB"): MachineSpec {
    const machine = tickerMachine(name, this.#ticker, { memory });
    const mac = `52:54:00:00:${(this.#guests >> 8).toString(16).padStart(2, "0")}:${(this.#guests & 255).toString(16).padStart(2, "0")}`;
    return { ...machine, spec: { ...machine.spec, nics: [{ bridge: "guests", mac, forward: [] }] } };
  }

  /** A running guest of a name never used before. */
  async guest(host: Host, memory?: string): Promise<string> {
    this.#guests += 1;
    const name = `t${this.#guests}`;
    await this.client(host).run({ body: this.machine(name, memory), timeoutMs: RUN_DEADLINE_MS });
    await until(`guest ${name} to tick`, RUN_DEADLINE_MS, () => this.ticks(host, name) > 0 || undefined);
    return name;
  }

  async migrate(
    name: string,
    from: Host,
    settings: Partial<MigrateRequest> & { readonly technique: MigrateRequest["technique"] },
  ): Promise<MigrationView> {
    const way = settings.wire === undefined ? QEMU_ITSELF : {};
    const body = migrateRequest.parse({ target: otherHost(from), ...way, ...settings });
    return this.client(from).migrate({ params: { name }, body });
  }

  arm(demands: readonly FaultDemand[]): void {
    this.disarm();
    this.#demands = demands.length;
    writeFileSync(this.#faults, JSON.stringify(demands));
  }

  disarm(): void {
    rmSync(this.#faults, { force: true });
    for (let number = 0; number < this.#demands; number += 1)
      rmSync(`${this.#faults}.${number}`, { force: true });
  }

  /** Whom the demand of this number met; undefined while it has not been met. */
  met(number = 0): number[] | undefined {
    try {
      return JSON.parse(readFileSync(`${this.#faults}.${number}`, "utf8")) as number[];
    } catch {
      return undefined;
    }
  }

  /** What the guest has said on this host so far; empty once its folder is gone. */
  said(host: Host, name: string): string {
    let folders: string[];
    try {
      folders = readdirSync(this.vmsDir(host));
    } catch {
      return "";
    }
    return folders
      .filter((folder) => folder === name || folder.startsWith(`${name}.`))
      .map((folder) => {
        try {
          return readFileSync(join(this.vmsDir(host), folder, "console.log"), "utf8");
        } catch {
          return "";
        }
      })
      .join("");
  }

  ticks(host: Host, name: string): number {
    return this.said(host, name).length;
  }

  /** QEMUs of this guest, by what runs in the hosts' namespaces, whatever the agents say. */
  async qemus(name?: string): Promise<{ host: Host; pid: number }[]> {
    const found: { host: Host; pid: number }[] = [];
    for (const host of HOSTS) {
      for (const { pid } of await processesIn(this.netns(host))) {
        let words: string[];
        try {
          words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
        } catch {
          continue;
        }
        const is = (word: string): boolean =>
          name === undefined ? word.startsWith("guest=") : word.startsWith(`guest=${name},`);
        if (words.some(is)) found.push({ host, pid });
      }
    }
    return found;
  }

  /** Hosts where the guest ticks now. */
  async ticking(name: string, windowMs = GROWTH_WINDOW_MS): Promise<Host[]> {
    const before = HOSTS.map((host) => this.ticks(host, name));
    const grown = (): Host[] => HOSTS.filter((host, index) => this.ticks(host, name) > (before[index] ?? 0));
    const deadline = performance.now() + windowMs;
    while (performance.now() < deadline && grown().length === 0) await sleep(POLL_MS);
    return grown();
  }

  /** Wakes what a fault has stopped. */
  async wake(name: string): Promise<void> {
    const pids = (await this.qemus(name)).map(({ pid }) => pid);
    for (const host of HOSTS) {
      const agent = runningAgent(hostOf(this.lab, host));
      if (agent !== null) pids.push(agent.pid);
    }
    for (const pid of pids) {
      try {
        process.kill(pid, "SIGCONT");
      } catch {
        // It has just ended.
      }
    }
  }

  async waitPhase(id: string, ...phases: readonly string[]): Promise<void> {
    await until(`phase ${phases.join(" or ")}`, SETTLE_DEADLINE_MS, async () => {
      const view = await this.view("a", id);
      if (view?.outcome !== undefined) throw new Error(`it ended: ${view.outcome} ${view.reason}`);
      return view !== undefined && phases.includes(view.phase) ? true : undefined;
    });
  }

  /** The command line, spoken to the agent of host a. */
  cli(...words: readonly string[]): ChildProcess & { readonly said: () => string } {
    const main = resolve(import.meta.dirname, "../../src/cli/main.ts");
    const { socket } = hostOf(this.lab, "a");
    let text = "";
    const child = spawn(process.execPath, [main, ...words], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, GODWIT_SOCKET: socket },
    });
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (chunk: Buffer) => (text += chunk.toString()));
    return Object.assign(child, { said: () => text });
  }

  /** The migration of a guest whose command did not live to tell. */
  async idOf(name: string): Promise<string> {
    return until(`a migration of ${name}`, 15_000, async () => {
      const page = await this.client("a")
        .migrations({ query: { vm: name } })
        .catch(() => undefined);
      return page?.items[0]?.id;
    });
  }

  /** Ends the TCP connections between the QEMUs, for good. */
  async breakStream(): Promise<void> {
    for (const host of HOSTS) {
      for (const end of ["sport", "dport"]) {
        const ports = [end, "ge", ":49152", "and", end, "le", ":49215"];
        await run("ip", ["netns", "exec", this.netns(host), "ss", "-K", "-t", "(", ...ports, ")"]);
      }
    }
  }

  /** Takes the migration network of host a away, and gives it back. */
  async link(state: "up" | "down"): Promise<void> {
    await run("ip", ["-n", this.netns("a"), "link", "set", "mig0", state]);
  }

  async startDeadAgents(): Promise<void> {
    await Promise.all(HOSTS.map((host) => startAgent(this.lab, host)));
  }

  /** After a SIGKILL the process is gone only when the kernel says so. */
  async waitAgentDead(host: Host, pid: number): Promise<void> {
    await until(`agent ${host} to die`, 5_000, () => {
      const handle = runningAgent(hostOf(this.lab, host));
      return handle === null || handle.pid !== pid || !isAlive(handle) ? true : undefined;
    });
  }

  async killAgent(host: Host): Promise<void> {
    const handle = runningAgent(hostOf(this.lab, host));
    if (handle === null) return;
    process.kill(handle.pid, "SIGKILL");
    await waitGone([handle], 5_000);
  }

  view(host: Host, id: string): Promise<MigrationView | undefined> {
    return this.client(host)
      .migration({ params: { id } })
      .catch((error: unknown) => {
        if (error instanceof CodedError && ["MIGRATION_UNKNOWN", "AGENT_UNREACHABLE"].includes(error.code))
          return undefined;
        throw error;
      });
  }

  /** Until the source knows its outcome, and the target its own unless a person is asked for. */
  async settled(
    id: string,
    from: Host = "a",
    deadlineMs = SETTLE_DEADLINE_MS,
  ): Promise<{ source: MigrationView; target: MigrationView | undefined }> {
    let last = "";
    try {
      return await until(`migration ${id} to settle`, deadlineMs, async () => {
        const source = await this.view(from, id);
        const target = await this.view(otherHost(from), id);
        last = `source ${source?.phase}, target ${target?.phase}`;
        if (source?.outcome === undefined) return undefined;
        const open = target !== undefined && target.outcome === undefined;
        return open && source.outcome !== "needs-person" ? undefined : { source, target };
      });
    } catch (error) {
      throw new Error(`${String(error)}: ${last}`, { cause: error });
    }
  }

  async vms(host: Host): Promise<VmView[]> {
    return this.client(host).vms({ query: { scope: "host" } });
  }

  /** The VM lists of both hosts without what changes by itself. */
  async inventory(): Promise<string> {
    const all = await Promise.all(HOSTS.map((host) => this.vms(host)));
    return JSON.stringify(
      all.flat().map(({ name, host, owner, pid, migration }) => ({ name, host, owner, pid, migration })),
    );
  }

  async taps(host: Host): Promise<string[]> {
    const text = await run("ip", ["-n", this.netns(host), "-o", "link", "show", "type", "tun"]);
    return text.split("\n").filter((line) => line !== "");
  }

  /** What is left on both hosts: QEMUs, VM folders, taps. */
  async leftovers(name: string): Promise<string[]> {
    const left = (await this.qemus(name)).map(({ host, pid }) => `QEMU ${pid} on ${host}`);
    for (const host of HOSTS) {
      for (const folder of this.#folders(host)) {
        if (folder === name || folder.startsWith(`${name}.`)) left.push(`folder ${folder} on ${host}`);
      }
      // Every guest of these tests has a tap, so none more than QEMUs.
      const others = (await this.qemus()).filter((qemu) => qemu.host === host).length;
      const taps = await this.taps(host);
      if (taps.length > others) left.push(`${taps.length} taps for ${others} QEMUs on ${host}`);
    }
    return left;
  }

  /** After a test that failed: its guest must not disturb the next one. */
  async killQemus(name: string): Promise<void> {
    for (const { pid } of await this.qemus(name)) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // It has just ended.
      }
    }
  }

  #folders(host: Host): string[] {
    try {
      return readdirSync(this.vmsDir(host));
    } catch {
      return [];
    }
  }
}
