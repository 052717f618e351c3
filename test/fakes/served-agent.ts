/**
 * A real agent with its real listeners in a temporary folder, without guests: its QEMU is a name nobody has, or a
 * fake one. For tests that judge the HTTP API; the listener for people is on a free port of the loopback.
 */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { pino } from "pino";

import { agentConfigIn } from "./agent-config.ts";
import { fakeQemuIn } from "./fake-qemu.ts";
import { Agent } from "../../src/agent/agent.ts";
import { AuditLog } from "../../src/agent/audit.ts";
import { listen, makeListeners, type Listeners } from "../../src/agent/listeners.ts";
import { Observability } from "../../src/agent/observability.ts";
import { initCa, issueHost } from "../../src/agent/pki.ts";
import { Recorder } from "../../src/agent/recorder.ts";
import { Store } from "../../src/agent/store.ts";
import type { Right } from "../../src/api/access.ts";
import { connectAgent, type GodwitClient } from "../../src/api/client.ts";

export interface ServedOptions {
  /** Of the listener for people; another than loopback's speaks TLS. */
  readonly address?: string;
  readonly store?: ConstructorParameters<typeof Store>[1];
  readonly openMetrics?: boolean;
  /** VMs can be started; nothing runs in them. */
  readonly fakeQemu?: boolean;
  readonly heartbeatMs?: number;
  /** Kept when the agent ends, to be started again on. */
  readonly folder?: string;
}

export class ServedAgent implements AsyncDisposable {
  readonly folder: string;
  readonly socketPath: string;
  readonly store: Store;
  readonly agent: Agent;
  readonly audit: AuditLog;
  readonly recorder: Recorder;
  readonly client: GodwitClient;
  readonly #keep: boolean;
  #listeners: Listeners | undefined;

  private constructor(options: ServedOptions, folder: string) {
    this.folder = folder;
    this.#keep = options.folder !== undefined;
    this.socketPath = join(folder, "agent.sock");
    const config = agentConfigIn(folder, {
      listen: { address: "127.0.0.1", port: 1 },
      http: {
        address: options.address ?? "127.0.0.1",
        port: 1,
        openMetrics: options.openMetrics ?? false,
      },
      tlsDir: join(folder, "pki"),
      qemu: options.fakeQemu === true ? fakeQemuIn(folder) : "qemu-that-is-not-there",
    });
    // Any free port, which a configuration file cannot say.
    const free = { ...config, listen: { ...config.listen, port: 0 }, http: { ...config.http, port: 0 } };
    const log = pino({ level: "silent" });
    this.store = new Store(join(folder, "agent.db"), options.store);
    this.agent = new Agent(free as typeof config, this.store, log);
    this.audit = new AuditLog(this.store.database, join(folder, "audit.head"), log);
    this.recorder = new Recorder(join(folder, "recordings.db"), this.agent.hub, log);
    const { store, agent, audit, recorder } = this;
    const { hub } = agent;
    const observability = new Observability({ config, store, hub, vms: async () => agent.vms() });
    const { heartbeatMs = 15_000 } = options;
    const served = {
      config: free as typeof config,
      agent,
      store,
      audit,
      recorder,
      observability,
      log,
      heartbeatMs,
    };
    this.#listeners = makeListeners(served);
    this.client = connectAgent(this.socketPath);
    this.#up = async () => {
      if (this.#listeners !== undefined) await listen(this.#listeners, served);
    };
  }
  readonly #up: () => Promise<void>;

  static async start(options: ServedOptions = {}): Promise<ServedAgent> {
    const folder = options.folder ?? mkdtempSync(join(tmpdir(), "godwit-served-"));
    if (!existsSync(join(folder, "pki"))) {
      await initCa(join(folder, "ca"));
      await issueHost({
        caDir: join(folder, "ca"),
        name: "a",
        addresses: ["127.0.0.1", ...(options.address === undefined ? [] : [options.address])],
        outDir: join(folder, "pki"),
      });
    }
    const served = new ServedAgent(options, folder);
    await served.#up();
    return served;
  }

  /** Of the listener for people. */
  get address(): AddressInfo {
    return this.#listeners?.forPeople?.server.address() as AddressInfo;
  }
  get peerAddress(): AddressInfo {
    return this.#listeners?.forPeers.server.address() as AddressInfo;
  }
  get url(): string {
    return `http://127.0.0.1:${this.address.port}`;
  }

  /** A token's text. */
  async token(name: string, ...rights: Right[]): Promise<string> {
    return (await this.client.createToken({ body: { name, rights } })).token;
  }

  async down(): Promise<void> {
    const listeners = this.#listeners;
    if (listeners === undefined) return;
    this.#listeners = undefined;
    // Nothing may outlive a test.
    for (const vm of this.store.vms()) await this.client.stop({ params: { name: vm.name } }).catch(() => {});
    await Promise.all([listeners.local.close(), listeners.forPeers.close(), listeners.forPeople?.close()]);
    this.audit.close();
    await this.recorder.close();
    this.agent.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.down();
    if (!this.#keep) rmSync(this.folder, { recursive: true, force: true });
  }
}
