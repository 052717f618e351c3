/** The target's side of one migration, acting: turns QEMU's events and the source's questions into events for stepTarget. */
import type { TechniqueName } from "../api/migration.ts";
import type { TargetView } from "../api/peer-routes.ts";
import type { WirePlan } from "../api/wire.ts";
import {
  stepTarget,
  type Target,
  type TargetEffect,
  type TargetEvent,
  targetIsFinal,
} from "../migration/target.ts";
import type { QemuProcess } from "../qemu/types.ts";
import type { Standby } from "../relay/standby.ts";
import { CodedError, toCodedError } from "../std/errors.ts";
import { bootId, nowNs } from "./clock.ts";
import type { AgentConfig } from "./config.ts";
import type { EventHub } from "./events.ts";
import { faultPoint } from "./fault.ts";
import { IncomingWay, type Listening } from "./incoming-way.ts";
import type { Log } from "./log.ts";
import { memoryDigest } from "./memory-digest.ts";
import { PLAIN } from "./qemu-migration.ts";
import type { MigrationRecord, Store } from "./store.ts";
import { targetMigrationView } from "./views.ts";
import type { Vms } from "./vms.ts";
import { Wakes } from "./wakes.ts";
import { QemuWatch } from "./watch-qemu.ts";

export interface TargetDeps {
  readonly config: AgentConfig;
  readonly store: Store;
  readonly hub: EventHub;
  readonly vms: Vms;
  readonly log: Log;
  readonly standby?: Standby | undefined;
}
type TargetRecord = Extract<MigrationRecord, { side: "target" }>;

/** How long a hand-over question is held open for QEMU to finish loading. */
const HAND_OVER_WAIT_MS = 4_000;
/** After the device state's arrival was announced QEMU needs a few ms to load it; there is no event for its end. */
const LOADED_POLL_MS = 2;
const BREAK_WAIT_MS = 5_000;
/** Longer than a source takes to end a fetch that nobody will run on. */
const LET_GO_WAIT_MS = 10_000;
const ANNOUNCE = { initial: 50, max: 550, rounds: 5, step: 100 };

export class TargetRun {
  readonly #deps: TargetDeps;
  readonly #way: IncomingWay;
  #record: TargetRecord;
  #starting: Promise<QemuProcess> | undefined;
  #qemu: QemuProcess | undefined;
  #watch: QemuWatch | undefined;
  #completed = false;
  #fetchBroken = false;
  /** The source's QEMU has sent the device state and serves pages. */
  #fetching = false;
  #lettingGo = false;
  /** Both the way and the QEMU end after it: waited for once. */
  #letGo: Promise<void> | undefined;
  #removed: Promise<void> = Promise.resolve();
  /** Settles when QEMU has answered the run command, or can no more. */
  #running: Promise<void> = Promise.resolve();
  #blocktimeMs: number | null = null;
  #cpuSeconds: number | null = null;
  readonly #wakes = new Wakes();

  constructor(deps: TargetDeps, record: TargetRecord) {
    this.#deps = { ...deps, log: deps.log.child({ migration: record.id, vm: record.vm }) };
    this.#record = record;
    this.#way = new IncomingWay(deps, record, (relays) => {
      this.#record = { ...this.#record, relays };
      deps.store.commit(this.#record);
    });
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
  /** The relay may still have to say something. */
  get endingRelay(): boolean {
    return this.#lettingGo || this.#way.ending;
  }
  get final(): boolean {
    return targetIsFinal(this.#record.state);
  }

  /** Begins to start QEMU, which takes a while: `listen` waits for it, and tells of a failure. */
  prepare(start: () => Promise<QemuProcess>): void {
    this.#commit(this.#record.state);
    this.#starting = start();
    this.#starting.then(
      (qemu) => this.#attach(qemu),
      (error: unknown) => this.dispatch({ type: "prepare-failed", why: toCodedError(error).message }),
    );
  }

  /** By the way, and with the technique, that the source chose. A failure leaves nothing behind. */
  async listen(
    plan: WirePlan,
    technique: TechniqueName = this.#record.settings.technique,
  ): Promise<Listening> {
    if (this.#starting === undefined || this.#record.wire !== undefined)
      throw new CodedError("TOO_LATE", { migration: this.id, phase: this.#record.state.phase });
    this.#record = { ...this.#record, settings: { ...this.#record.settings, technique } };
    this.#takePlan(plan);
    try {
      this.#way.begin(plan, this.#record.settings);
      const qemu = await this.#starting;
      if (this.final)
        throw new CodedError("TOO_LATE", { migration: this.id, phase: this.#record.state.phase });
      const listening = await this.#way.listen(qemu);
      if (listening.instead !== undefined) this.#takePlan(PLAIN);
      this.dispatch({ type: "listening" });
      return listening;
    } catch (error) {
      this.dispatch({ type: "prepare-failed", why: toCodedError(error).message });
      throw error;
    }
  }

  #takePlan(plan: WirePlan): void {
    this.#record = { ...this.#record, wire: { plan, reason: "" } };
  }

  /** Continues after an agent restart. */
  async resume(qemu: QemuProcess | undefined): Promise<void> {
    if (this.final) return;
    await this.#way.relay.adopt();
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
    await this.#wakes.until(() => settled.has(this.#record.state.phase), HAND_OVER_WAIT_MS);
    return this.view();
  }

  void(why: string): TargetView {
    this.dispatch({ type: "void", why });
    return this.view();
  }

  async digest(): Promise<string> {
    await this.#wakes.until(() => this.#record.state.phase !== "receiving", HAND_OVER_WAIT_MS);
    if (this.#record.state.phase !== "loaded" || this.#qemu === undefined) {
      throw new CodedError("TOO_LATE", { migration: this.id, phase: this.#record.state.phase });
    }
    const { machine, accelerator } = this.#deps.vms.changed(this.#record.vm, {});
    return memoryDigest(this.#qemu, machine, accelerator);
  }

  /** Listens again after the connection of a fetch broke. */
  async recover(): Promise<Listening> {
    const qemu = this.#qemu;
    if (qemu === undefined || this.#record.state.phase !== "running") {
      throw new CodedError("NOTHING_TO_RECOVER", { migration: this.id, phase: this.#record.state.phase });
    }
    if (!this.#fetchBroken) {
      // The source lost its end; ours may not have noticed.
      await qemu.qmp.execute("migrate-pause", {}, { outOfBand: true }).catch(() => {});
      await this.#wakes.until(() => this.#fetchBroken, BREAK_WAIT_MS);
    }
    return this.#way.listenAgain(qemu);
  }

  /** QEMU may stall with its guest, at a missing page, before it has said that it runs. */
  get mayRun(): boolean {
    const { phase } = this.#record.state;
    return phase === "running" || phase === "accepted";
  }

  /** The connection to the source is lost: the guest stalls at the first page that is missing. */
  async waitsForPages(): Promise<boolean> {
    if (this.#fetchBroken) return true;
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
      relay: this.#way.account,
    };
  }

  /** With the relay's newest counters. */
  async freshView(): Promise<TargetView> {
    await this.#way.relay.poll();
    return this.view();
  }

  dispatch(event: TargetEvent): void {
    const { state, effects } = stepTarget(this.#record.state, event);
    if (JSON.stringify(state) !== JSON.stringify(this.#record.state)) {
      const before = this.#record.state.phase;
      if (state.phase !== before) this.#note(`target ${state.phase}`);
      // `sent` alone is not journaled: after a crash it is unknown anyway.
      if (state.phase === before && state.phase === "accepted") this.#record = { ...this.#record, state };
      else
        this.#commit(
          state,
          effects.some((effect) => effect.do === "adopt-vm"),
        );
    }
    for (const effect of effects) void this.#perform(effect);
    if (targetIsFinal(state)) void this.#endWay(state.phase === "done");
  }

  #commit(state: Target, adopt = false): void {
    this.#record = { ...this.#record, state };
    const { vms, store, hub, config } = this.#deps;
    const known = vms.record(this.#record.vm);
    const ended = targetIsFinal(state);
    const put =
      known !== undefined && (adopt || (ended && known.owner === config.name))
        ? {
            ...known,
            // Accepted and then proven never to have run: it is the source's again.
            owner: state.phase === "void" ? this.#record.peer : config.name,
            migration: ended ? null : this.id,
          }
        : undefined;
    store.commit(this.#record, put === undefined ? {} : { put });
    faultPoint(`target:${state.phase}`);
    if (put !== undefined) vms.applied(put);
    hub.publish({ type: "migration", migration: targetMigrationView(this.#record, config.name) });
    this.#wakes.wake();
  }

  async #perform(effect: TargetEffect): Promise<void> {
    switch (effect.do) {
      case "adopt-vm":
        return; // done with the commit
      case "run-guest":
        this.#running = this.#runGuest();
        return this.#running;
      case "kill-qemu":
        this.#removed = this.#remove().catch((error: unknown) => {
          this.#deps.log.error({ err: error }, "the target's QEMU could not be removed");
        });
        return this.#removed;
    }
  }

  /** It never runs here; but until the source has let go, its QEMU may hang for good when this end dies (breakFetch). */
  async #sourceLetsGo(): Promise<void> {
    if (this.#record.state.phase === "void") await (this.#letGo ??= this.#waitLetGo());
  }

  async #waitLetGo(): Promise<void> {
    await this.#wakes.until(() => !this.#fetching, LET_GO_WAIT_MS);
    if (this.#completed) await this.#poll(() => this.#connectionClosed(), LET_GO_WAIT_MS);
  }

  /** QEMU says "completed" first and sends its last word, which the source waits for, then. */
  async #connectionClosed(): Promise<boolean> {
    const held = await this.#qemu?.qmp.execute("query-yank", {}, { timeoutMs: LET_GO_WAIT_MS });
    return held?.every(({ type }) => type !== "migration") ?? true;
  }

  async #endWay(isDone: boolean): Promise<void> {
    if (this.#lettingGo) return;
    this.#lettingGo = true;
    await this.#sourceLetsGo();
    this.#lettingGo = false;
    await this.#way.end(isDone);
  }

  async #remove(): Promise<void> {
    await this.#sourceLetsGo();
    this.#watch?.close();
    await this.#deps.vms.remove(this.#record.vm);
  }

  async #runGuest(): Promise<void> {
    const qmp = this.#qemu?.qmp;
    if (qmp === undefined) return;
    this.dispatch({ type: "run-sent" });
    try {
      await qmp.execute("cont", {});
    } catch (error) {
      this.#deps.log.error({ err: error }, "the guest could not be started");
      const { code, details, message } = toCodedError(error);
      if (code === "QMP_REFUSED") this.dispatch({ type: "run-refused", why: message });
      if (code === "QMP_LOST" && details["unread"] === true)
        this.dispatch({ type: "run-refused", why: "QEMU ended before it had read the command to run" });
      return;
    }
    await qmp.execute("announce-self", ANNOUNCE).catch((error: unknown) => {
      this.#deps.log.warn({ err: error }, "the guest's addresses could not be announced");
    });
  }

  #attach(qemu: QemuProcess): void {
    this.#qemu = qemu;
    void qemu.exited.then(async (why) => {
      // Whether a dead QEMU has run the guest is known from what became of the run command.
      await this.#running;
      this.#fetching = false;
      this.#wakes.wake();
      this.dispatch({ type: "qemu-lost", why });
    });
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
        this.#fetching = status === "postcopy-active";
        this.#wakes.wake();
        if (status === "completed") void this.#onCompleted(qemu);
        if (status === "postcopy-active") void this.#awaitDeviceState(qemu);
      },
      sample: () => {},
    });
  }

  async #onCompleted(qemu: QemuProcess): Promise<void> {
    this.#completed = true;
    if (this.#record.state.phase === "receiving") return this.dispatch({ type: "loaded" });
    // A command behind the run command would hide whether that was read.
    await this.#running;
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
}
