/**
 * The target's end of the way a migration's bytes come: makes QEMU listen for them, itself or behind a relay, and again
 * after a broken fetch. The way was chosen by the source.
 */
import type { MigrateSettings } from "../api/migration.ts";
import type { TargetView } from "../api/peer-routes.ts";
import type { WirePlan } from "../api/wire.ts";
import { mayFetch } from "../qemu/check.ts";
import type { QemuProcess } from "../qemu/types.ts";
import { CodedError, toCodedError } from "../std/errors.ts";
import type { Standby } from "../relay/standby.ts";
import type { RelayHandle } from "../relay/start.ts";
import type { AgentConfig } from "./config.ts";
import type { Log } from "./log.ts";
import { PLAIN, planOf, prepareIncoming, tcpUri, unixUri } from "./qemu-migration.ts";
import { RelaySide } from "./relay-side.ts";
import type { MigrationRecord } from "./store.ts";
import { storeFiles } from "./store-files.ts";
import type { Vms } from "./vms.ts";

/** How long a relay may take to hand over what the source's QEMU still waits for. */
const LAST_ANSWERS_MS = 10_000;

export interface Listening {
  readonly address: string;
  readonly port: number;
  /** Why QEMU itself listens although a relay was planned. */
  readonly instead?: string;
}

export interface IncomingDeps {
  readonly config: AgentConfig;
  readonly log: Log;
  readonly vms: Pick<Vms, "record">;
  readonly standby?: Standby | undefined;
}

export class IncomingWay {
  readonly relay: RelaySide;
  readonly #config: AgentConfig;
  readonly #log: Log;
  readonly #vms: Pick<Vms, "record">;
  readonly #record: MigrationRecord;
  #settings: MigrateSettings;
  #plan: WirePlan;
  #begun: Promise<number> | undefined;
  #ending = false;

  constructor(
    { config, log, vms, standby }: IncomingDeps,
    record: MigrationRecord,
    journal: (handles: readonly RelayHandle[]) => void,
  ) {
    this.#config = config;
    this.#log = log;
    this.#vms = vms;
    this.#record = record;
    this.#settings = record.settings;
    this.#plan = planOf(record);
    this.relay = new RelaySide({
      stateDir: config.stateDir,
      migration: record.id,
      handles: record.relays ?? [],
      journal,
      standby,
    });
  }

  /** Its relay may still have to say something. */
  get ending(): boolean {
    return this.#ending;
  }

  get account(): TargetView["relay"] {
    const counted = this.relay.counters("in");
    return counted === undefined
      ? null
      : { cpuSeconds: counted.relayCpuSeconds, rssBytes: counted.relayRssBytes };
  }

  /** The relay starts beside QEMU: each takes some tenths of a second. */
  begin(plan: WirePlan, settings: MigrateSettings): void {
    this.#plan = plan;
    this.#settings = settings;
    if (plan.path !== "relay") return;
    this.#begun = this.#startRelay(false);
    this.#begun.catch(() => {}); // told by listen()
  }

  async listen(qemu: QemuProcess): Promise<Listening> {
    const plan = this.#plan;
    if (plan.path === "direct") return this.#listenDirectly(qemu, plan);
    const settings = this.#settings;
    let port: number;
    try {
      port = await (this.#begun ?? this.#startRelay(false));
    } catch (error) {
      if (settings.wire !== "auto") throw error;
      return { ...(await this.#listenDirectly(qemu, PLAIN)), instead: toCodedError(error).message };
    }
    await prepareIncoming(qemu.qmp, settings, plan, this.#config.tlsDir);
    await qemu.qmp.execute("migrate-incoming", { uri: unixUri(this.relay.qemuSocket) });
    return { address: this.#address(), port };
  }

  async #listenDirectly(qemu: QemuProcess, plan: WirePlan): Promise<Listening> {
    const address = this.#address();
    const { portMin, portMax } = this.#config.migration;
    await prepareIncoming(qemu.qmp, this.#settings, plan, this.#config.tlsDir);
    await qemu.qmp.execute("migrate-incoming", { uri: `${tcpUri(address, portMin)},to=${portMax}` });
    return { address, port: await listeningPort(qemu) };
  }

  /** After the connection of a fetch broke. Out of band: QEMU's main loop may hang until it is mended. */
  async listenAgain(qemu: QemuProcess): Promise<Listening> {
    const address = this.#address();
    if (this.relay.isUsed) {
      const port = await this.#startRelay(true);
      const uri = unixUri(this.relay.qemuSocket);
      await qemu.qmp.execute("migrate-recover", { uri }, { outOfBand: true });
      return { address, port };
    }
    const { portMin, portMax } = this.#config.migration;
    return { address, port: await listenAgain(qemu, address, portMin, portMax) };
  }

  /** What it has to say last is kept; nothing of it is left. Never rejects. */
  async end(isDone: boolean): Promise<void> {
    if (this.#ending) return;
    this.#ending = true;
    try {
      await this.relay.lastWords(isDone ? LAST_ANSWERS_MS : undefined);
      await this.relay.end();
    } catch (error) {
      this.#log.error({ migration: this.#record.id, err: error }, "the relay could not be ended");
    }
    this.#ending = false;
  }

  #address(): string {
    const { migration, listen } = this.#config;
    return migration.address ?? listen.address;
  }

  /** The one before it is ended. @returns where it listens. */
  async #startRelay(recovery: boolean): Promise<number> {
    const { peer, id } = this.#record;
    const plan = this.#plan;
    const { portMin, portMax } = this.#config.migration;
    const encode = plan.path === "relay" && plan.encode;
    const machine = this.#vms.record(this.#record.vm)?.machine;
    const begins =
      recovery || !encode || machine === undefined
        ? {}
        : await storeFiles({ config: this.#config, log: this.#log, peer, machine });
    const relay = await this.relay.start((qemuSocket) => ({
      side: "target",
      id,
      tlsDir: this.#config.tlsDir,
      peerName: peer,
      qemuSocket,
      capabilities: { postcopyRam: mayFetch(this.#settings) },
      bandwidthBytesPerSecond: null,
      codec: "auto",
      encode,
      ...begins,
      recovery,
      listen: { address: this.#address(), portMin, portMax },
    }));
    if (relay.port === undefined)
      throw new CodedError("TOOL_FAILED", { command: "the relay", why: "it does not tell its port" });
    return relay.port;
  }
}

async function listeningPort(qemu: QemuProcess): Promise<number> {
  const info = await qemu.qmp.execute("query-migrate", {});
  const port = Number(info["socket-address"]?.[0]?.port);
  if (!Number.isInteger(port))
    throw new CodedError("QMP_PROTOCOL", { problem: "QEMU does not tell on which port it listens" });
  return port;
}

/** Out of band, and with ports tried one by one: which port QEMU took could only be asked of its main loop. */
async function listenAgain(
  qemu: QemuProcess,
  address: string,
  portMin: number,
  portMax: number,
): Promise<number> {
  for (let port = portMin; port < portMax; port += 1) {
    try {
      await qemu.qmp.execute("migrate-recover", { uri: tcpUri(address, port) }, { outOfBand: true });
      return port;
    } catch (error) {
      if (!/in use/i.test(toCodedError(error).message)) throw error;
    }
  }
  throw new CodedError("PEER_REFUSED", {
    host: address,
    why: `no port from ${portMin} to ${portMax} is free`,
  });
}
