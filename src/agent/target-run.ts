/** The target's side of one migration, acting: turns QEMU's events and the source's questions into events for stepTarget. */
import type { TargetView } from "../api/routes.ts";
import {
  stepTarget,
  type Target,
  type TargetEffect,
  type TargetEvent,
  targetIsFinal,
} from "../migration/target.ts";
import type { QemuProcess } from "../qemu/types.ts";
import { CodedError, toCodedError } from "../std/errors.ts";
import { bootId, nowNs } from "./clock.ts";
import type { AgentConfig } from "./config.ts";
import type { EventHub } from "./events.ts";
import { faultPoint } from "./fault.ts";
import type { Log } from "./log.ts";
import { memoryDigest } from "./memory-digest.ts";
import { prepareIncoming } from "./qemu-migration.ts";
import type { MigrationRecord, Store } from "./store.ts";
import { targetMigrationView } from "./views.ts";
import type { Vms } from "./vms.ts";
import { QemuWatch } from "./watch-qemu.ts";

export interface TargetDeps {
  readonly config: AgentConfig;
  readonly store: Store;
  readonly hub: EventHub;
  readonly vms: Vms;
  readonly log: Log;
}
type TargetRecord = Extract<MigrationRecord, { side: "target" }>;

/** How long a hand-over question is held open for QEMU to finish loading. */
const HAND_OVER_WAIT_MS = 4_000;
/** After the device state's arrival was announced QEMU needs a few ms to load it; there is no event for its end. */
const LOADED_POLL_MS = 2;
const BREAK_WAIT_MS = 5_000;
const ANNOUNCE = { initial: 50, max: 550, rounds: 5, step: 100 };

export class TargetRun {
  readonly #deps: TargetDeps;
  #record: TargetRecord;
  #qemu: QemuProcess | undefined;
  #watch: QemuWatch | undefined;
  #completed = false;
  #fetchBroken = false;
  #removed: Promise<void> = Promise.resolve();
  #blocktimeMs: number | null = null;
  #cpuSeconds: number | null = null;
  readonly #waiters = new Set<() => void>();

  constructor(deps: TargetDeps, record: TargetRecord) {
    this.#deps = deps;
    this.#record = record;
  }

  get id(): string {
    return this.#record.id;
  }
  get record(): TargetRecord {
    return this.#record;
  }
  /** Settles when a copy that will never run has left nothing behind. Never rejects. */
  get removed(): Promise<void> {
    return this.#removed;
  }
  get final(): boolean {
    return targetIsFinal(this.#record.state);
  }

  /** Starts QEMU and listens. A failure leaves nothing behind. */
  async prepare(start: () => Promise<QemuProcess>): Promise<{ address: string; port: number }> {
    this.#commit(this.#record.state);
    try {
      const qemu = await start();
      this.#attach(qemu);
      await prepareIncoming(qemu.qmp, this.#record.settings, this.#deps.config.tlsDir);
      const { migration, listen } = this.#deps.config;
      const address = migration.address ?? listen.address;
      const span = migration.portMax - migration.portMin;
      await qemu.qmp.execute("migrate-incoming", {
        uri: `tcp:${address}:${migration.portMin},to=${span + migration.portMin}`,
      });
      const port = await listeningPort(qemu);
      this.dispatch({ type: "listening" });
      return { address, port };
    } catch (error) {
      this.dispatch({ type: "prepare-failed", why: toCodedError(error).message });
      throw error;
    }
  }

  /** Continues after an agent restart. */
  async resume(qemu: QemuProcess | undefined): Promise<void> {
    if (this.final) return;
    if (qemu === undefined) return this.dispatch({ type: "restarted", found: "gone" });
    this.#attach(qemu);
    const { status, running } = await qemu.qmp.execute("query-status", {});
    const info = await qemu.qmp.execute("query-migrate", {});
    this.#completed = info.status === "completed";
    const loaded =
      status !== "inmigrate" && (this.#completed || info.status?.startsWith("postcopy") === true);
    this.dispatch({ type: "restarted", found: running ? "running" : loaded ? "loaded" : "waiting" });
    if (running && this.#completed) this.dispatch({ type: "complete" });
    // Post-copy was announced while nobody listened; the end of its loading has no event.
    if (!loaded && info.status === "postcopy-active") void this.#awaitDeviceState(qemu);
  }

  async handOver(): Promise<TargetView> {
    this.dispatch({ type: "hand-over" });
    const settled = new Set<Target["phase"]>(["running", "done", "void", "lost"]);
    await this.#until(() => settled.has(this.#record.state.phase), HAND_OVER_WAIT_MS);
    return this.view();
  }

  void(why: string): TargetView {
    this.dispatch({ type: "void", why });
    return this.view();
  }

  async digest(): Promise<string> {
    await this.#until(() => this.#record.state.phase !== "receiving", HAND_OVER_WAIT_MS);
    if (this.#record.state.phase !== "loaded" || this.#qemu === undefined) {
      throw new CodedError("TOO_LATE", { migration: this.id, phase: this.#record.state.phase });
    }
    const { machine, accelerator } = this.#deps.vms.changed(this.#record.vm, {});
    return memoryDigest(this.#qemu, machine, accelerator);
  }

  /** Listens again after the connection of a fetch broke. */
  async recover(): Promise<{ address: string; port: number }> {
    const qemu = this.#qemu;
    if (qemu === undefined || this.#record.state.phase !== "running") {
      throw new CodedError("NOTHING_TO_RECOVER", { migration: this.id, phase: this.#record.state.phase });
    }
    if (!this.#fetchBroken) {
      // The source lost its end; ours may not have noticed.
      await qemu.qmp.execute("migrate-pause", {}, { outOfBand: true }).catch(() => {});
      await this.#until(() => this.#fetchBroken, BREAK_WAIT_MS);
    }
    const { migration, listen } = this.#deps.config;
    const address = migration.address ?? listen.address;
    return { address, port: await listenAgain(qemu, address, migration.portMin, migration.portMax) };
  }

  /** The guest runs here but its source is gone: it stalls at the first page that is missing. */
  async waitsForPages(): Promise<boolean> {
    if (this.#record.state.phase !== "running") return false;
    const info = await this.#qemu?.qmp.execute("query-migrate", {}).catch(() => undefined);
    return info === undefined || info.status === "postcopy-paused";
  }

  view(): TargetView {
    const { state, timeline } = this.#record;
    return {
      id: this.id,
      phase: state.phase,
      why: "why" in state ? state.why : "",
      bootId,
      events: [...timeline].slice(-1000),
      qemuCpuSeconds: this.#cpu(),
      postcopyBlocktimeMs: this.#blocktimeMs,
    };
  }

  dispatch(event: TargetEvent): void {
    const { state, effects } = stepTarget(this.#record.state, event);
    if (JSON.stringify(state) !== JSON.stringify(this.#record.state)) {
      const before = this.#record.state.phase;
      if (state.phase !== before) this.#note(`target ${state.phase}`);
      // `runSent` alone is not journaled: after a crash it must count as sent anyway.
      if (state.phase === before && state.phase === "accepted") this.#record = { ...this.#record, state };
      else
        this.#commit(
          state,
          effects.some((effect) => effect.do === "adopt-vm"),
        );
    }
    for (const effect of effects) void this.#perform(effect);
  }

  #commit(state: Target, adopt = false): void {
    this.#record = { ...this.#record, state };
    const { vms, store, hub, config } = this.#deps;
    const known = vms.record(this.#record.vm);
    const ended = targetIsFinal(state);
    const put =
      known !== undefined && (adopt || (ended && known.owner === config.name))
        ? { ...known, owner: config.name, migration: ended ? null : this.id }
        : undefined;
    store.commit(this.#record, put === undefined ? {} : { put });
    faultPoint(`target:${state.phase}`);
    if (put !== undefined) vms.applied(put);
    hub.publish({ type: "migration", migration: targetMigrationView(this.#record, config.name) });
    for (const wake of this.#waiters) wake();
  }

  async #perform(effect: TargetEffect): Promise<void> {
    const { vms, log } = this.#deps;
    switch (effect.do) {
      case "adopt-vm":
        return; // done with the commit
      case "run-guest": {
        if (this.#qemu === undefined) return;
        this.dispatch({ type: "run-sent" });
        try {
          await this.#qemu.qmp.execute("cont", {});
          await this.#qemu.qmp.execute("announce-self", ANNOUNCE);
        } catch (error) {
          log.error({ migration: this.id, err: error }, "the guest could not be started");
        }
        return;
      }
      case "kill-qemu":
        this.#watch?.close();
        this.#removed = vms.remove(this.#record.vm).catch((error: unknown) => {
          log.error({ migration: this.id, err: error }, "the target's QEMU could not be removed");
        });
        return this.#removed;
    }
  }

  #attach(qemu: QemuProcess): void {
    this.#qemu = qemu;
    void qemu.exited.then((why) => this.dispatch({ type: "qemu-lost", why }));
    this.#watch = new QemuWatch(qemu.qmp, {
      guest: (what, atNs) => {
        if (what !== "running") return;
        this.#note("guest running", atNs);
        this.dispatch({ type: "guest-running" });
        if (this.#completed) this.dispatch({ type: "complete" });
      },
      status: (status, atNs) => {
        this.#note(`QEMU ${status}`, atNs);
        // A broken fetch may hang QEMU's main loop, so its state is known from events alone (decision 0002).
        this.#fetchBroken = status === "postcopy-paused";
        for (const wake of this.#waiters) wake();
        if (status === "completed") void this.#onCompleted(qemu);
        if (status === "postcopy-active") void this.#awaitDeviceState(qemu);
      },
      sample: () => {},
    });
  }

  async #onCompleted(qemu: QemuProcess): Promise<void> {
    this.#completed = true;
    if (this.#record.state.phase === "receiving") return this.dispatch({ type: "loaded" });
    const info = await qemu.qmp.execute("query-migrate", {}).catch(() => undefined);
    this.#blocktimeMs = info?.["postcopy-blocktime"] ?? null;
    this.dispatch({ type: "complete" });
  }

  async #awaitDeviceState(qemu: QemuProcess): Promise<void> {
    if (this.#record.state.phase !== "receiving") return;
    const loaded = await this.#poll(
      async () => (await qemu.qmp.execute("query-status", {})).status === "paused",
      60_000,
    );
    if (loaded) this.dispatch({ type: "loaded" });
  }

  #note(what: string, atNs: bigint = nowNs()): void {
    this.#record = { ...this.#record, timeline: [...this.#record.timeline, { atNs: String(atNs), what }] };
  }

  #cpu(): number | null {
    try {
      this.#cpuSeconds = this.#qemu?.cpuSeconds() ?? this.#cpuSeconds;
    } catch {
      // gone: the last reading stands
    }
    return this.#cpuSeconds;
  }

  async #poll(done: () => Promise<boolean>, patienceMs: number): Promise<boolean> {
    const endNs = nowNs() + BigInt(patienceMs) * 1_000_000n;
    try {
      while (nowNs() < endNs) {
        if (await done()) return true;
        await new Promise((resolve) => setTimeout(resolve, LOADED_POLL_MS));
      }
    } catch {
      // QEMU is gone, and says so itself.
    }
    return false;
  }

  #until(done: () => boolean, patienceMs: number): Promise<void> {
    if (done()) return Promise.resolve();
    return new Promise((resolve) => {
      const finish = (): void => {
        clearTimeout(timer);
        this.#waiters.delete(look);
        resolve();
      };
      const look = (): void => {
        if (done()) finish();
      };
      const timer = setTimeout(finish, patienceMs);
      this.#waiters.add(look);
    });
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
      await qemu.qmp.execute("migrate-recover", { uri: `tcp:${address}:${port}` }, { outOfBand: true });
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
