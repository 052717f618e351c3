/**
 * The source's side of one migration, acting. What happens becomes an event for step(); the new state is journaled;
 * then the effects are performed, and their results come back as events. Nothing is decided here.
 */
import type { MigrationView, Progress } from "../api/migration.ts";
import type { Report } from "../api/report.ts";
import { peerRoutes, type TargetView } from "../api/routes.ts";
import { firstPush, nextPush } from "../migration/push-rate.ts";
import { nextProgress } from "../migration/progress.ts";
import { isFinal, step } from "../migration/source.ts";
import type { Job, Source, SourceEffect, SourceEvent } from "../migration/source-types.ts";
import { techniques } from "../migration/techniques/index.ts";
import type { CopySample, Round } from "../migration/types.ts";
import type { MigrationInfo } from "../qmp/commands.ts";
import type { QemuProcess } from "../qemu/types.ts";
import { CodedError, toCodedError } from "../std/errors.ts";
import { nowMs, nowNs } from "./clock.ts";
import type { AgentConfig } from "./config.ts";
import { readCounters } from "./counters.ts";
import type { EventHub } from "./events.ts";
import { faultPoint } from "./fault.ts";
import type { Log } from "./log.ts";
import { memoryDigest } from "./memory-digest.ts";
import { reclaimSource } from "../qemu/reclaim.ts";
import { type Peer, peerCode, undelivered } from "./peers.ts";
import * as outgoing from "./qemu-migration.ts";
import type { Evidence } from "./evidence.ts";
import { writeReport } from "./reporting.ts";
import type { MigrationRecord, Store } from "./store.ts";
import { sourceMigrationView } from "./views.ts";
import type { Vms } from "./vms.ts";
import { QemuWatch } from "./watch-qemu.ts";

export interface SourceDeps {
  readonly config: AgentConfig;
  readonly store: Store;
  readonly hub: EventHub;
  readonly vms: Vms;
  readonly log: Log;
  readonly peer: Peer;
}
type SourceRecord = Extract<MigrationRecord, { side: "source" }>;

const PREPARE_TIMEOUT_MS = 60_000;
/** Longer than the target holds the question open, so that a live target always answers. */
const OFFER_TIMEOUT_MS = 6_000;
const CONFIRM_PERIOD_MS = 250;
const FETCH_LOOK_PERIOD_MS = 1_000;
const VOID_RETRY_MS = 2_000;
const UNWIND_RETRY_MS = 1_000;
const VOID_ATTEMPTS_MAX = 30;
const DIGEST_TIMEOUT_MS = 180_000;
/** The target accepted: by this host's journal too the VM is the target's, until a person takes it back. */
const OWNED_BY_TARGET: ReadonlySet<Source["phase"]> = new Set([
  "handed-over",
  "fetching",
  "fetch-paused",
  "needs-person",
  "done",
]);

export class SourceRun {
  readonly #deps: SourceDeps;
  readonly #job: Job;
  #record: SourceRecord;
  #qemu: QemuProcess | undefined;
  #watch: QemuWatch | undefined;
  #progress: Progress | undefined;
  #sample: CopySample | undefined;
  #targetView: TargetView | undefined;
  #verified: boolean | undefined;
  /** After the switch to post-copy. */
  #push: { readonly bytesPerSecond: number; readonly requests: number; readonly sinceMs: number } | undefined;
  #finished = false;
  /** What QEMU tells meanwhile is the stand-in's story. */
  #reclaiming = false;
  /** QMP commands of one migration run in the order they were decided. */
  #control: Promise<void> = Promise.resolve();
  readonly #background = new AbortController();

  constructor(deps: SourceDeps, record: SourceRecord) {
    this.#deps = deps;
    this.#record = record;
    this.#job = { settings: record.settings, technique: techniques[record.settings.technique] };
    this.#finished = isFinal(record.state) && deps.store.report(record.id) !== undefined;
  }

  get id(): string {
    return this.#record.id;
  }
  get state(): Source {
    return this.#record.state;
  }
  get finished(): boolean {
    return this.#finished;
  }
  view(): MigrationView {
    return sourceMigrationView(this.#record, this.#deps.config.name, this.#finished, this.#progress);
  }

  start(qemu: QemuProcess): void {
    this.#saw({
      countersAtStart: this.#counters(),
      qemuCpuAtStart: qemu.cpuSeconds(),
    });
    this.#commit(this.#record.state);
    this.#attach(qemu);
    this.#perform({ do: "prepare-target" });
  }

  /** Continues after an agent restart. */
  async resume(qemu: QemuProcess | undefined): Promise<void> {
    if (this.#record.voidOwed) void this.#voidTarget();
    if (this.#finished) return;
    if (isFinal(this.#record.state)) return this.#finish();
    if (qemu !== undefined) {
      this.#attach(qemu);
      this.#watch?.startSampling();
    }
    const found = qemu === undefined ? ({ qemu: "gone" } as const) : await outgoing.inspect(qemu.qmp);
    this.dispatch({ type: "restarted", found });
    // It still waits for a person; who follows it must hear that again.
    if (this.#record.state.phase === "needs-person") await this.#finish();
  }

  cancel(): MigrationView {
    const { phase } = this.#record.state;
    if (["handed-over", "fetching", "fetch-paused", "done"].includes(phase)) {
      throw new CodedError("TOO_LATE", { migration: this.id, phase });
    }
    this.#note("cancel asked");
    this.dispatch({ type: "cancel", nowMs: nowMs() });
    return this.view();
  }

  recover(): MigrationView {
    const { state } = this.#record;
    const event: SourceEvent | undefined =
      state.phase === "needs-person"
        ? { type: state.canTakeBack ? "take-back" : "recover" }
        : state.phase === "fetch-paused"
          ? { type: "recover" }
          : undefined;
    if (event === undefined)
      throw new CodedError("NOTHING_TO_RECOVER", { migration: this.id, phase: state.phase });
    this.#finished = false;
    this.dispatch(event);
    return this.view();
  }

  /** Stops acting (the agent goes down); QEMU and the migration go on by themselves. */
  detach(): void {
    this.#background.abort();
    this.#watch?.close();
  }

  dispatch(event: SourceEvent): void {
    if (this.#background.signal.aborted) return;
    const before = this.#record.state;
    const { state, effects } = step(before, event, this.#job);
    if (state.phase !== before.phase) this.#note(`source ${state.phase}`);
    // Journaled with the step: after a crash right here the target is still owed the word.
    if (effects.some((effect) => effect.do === "void-target"))
      this.#record = { ...this.#record, voidOwed: true };
    if (journalKey(state) !== journalKey(before)) this.#commit(state);
    else this.#record = { ...this.#record, state };
    this.#publish();
    for (const effect of effects) this.#perform(effect);
    if (state.phase === "fetching" && before.phase !== "fetching") void this.#watchFetch();
    const stuck = state.phase === "needs-person" && before.phase !== "needs-person";
    if ((state.phase === "aborted" && before.phase !== "aborted") || stuck) void this.#finish();
  }

  #commit(state: Source): void {
    this.#record = { ...this.#record, state };
    const { vms, store } = this.#deps;
    const known = vms.record(this.#record.vm);
    // A target that promised never to run it owns nothing, whatever a person still has to decide here.
    const owner =
      OWNED_BY_TARGET.has(state.phase) && this.#targetView?.phase !== "void"
        ? this.#record.peer
        : this.#deps.config.name;
    const migration = state.phase === "aborted" ? null : this.id;
    const put =
      known === undefined || (known.owner === owner && known.migration === migration)
        ? undefined
        : { ...known, owner, migration };
    store.commit(this.#record, put === undefined ? {} : { put });
    faultPoint(`source:${state.phase}`);
    if (put !== undefined) vms.applied(put);
  }

  #perform(effect: SourceEffect): void {
    const qmp = this.#qemu?.qmp;
    switch (effect.do) {
      case "note":
        return this.#note(effect.text);
      case "prepare-target":
        return void this.#prepareTarget();
      case "offer":
        return void this.#offer();
      case "wait-to-offer":
        return void this.#wait(effect.afterMs).then(() => this.dispatch({ type: "offer-due" }));
      case "confirm-running":
        return void this.#confirmRunning();
      case "void-target":
        return void this.#voidTarget();
      case "recover-fetch":
        return void this.#recoverFetch(effect.afterMs);
      case "hold-guest":
        // Not in order behind slower commands: a second guest may be running. If it cannot be stopped it must go.
        return void qmp?.execute("stop", {}, { timeoutMs: 1_000 }).catch(() => this.#qemu?.kill());
      case "fence-source":
        return void this.#qemu?.kill();
      case "release-source":
        return void this.#release().catch((error: unknown) =>
          this.#deps.log.error({ migration: this.id, err: error }, "the source could not be released"),
        );
      case "start-copy":
        return this.#inOrder("start-copy", async () => {
          if (qmp === undefined) return;
          const { address, port } = this.#record.evidence;
          if (this.#watch !== undefined) this.#watch.downtimeLimitMs = effect.downtimeLimitMs;
          const { settings, peer } = this.#record;
          const { downtimeLimitMs } = effect;
          await outgoing.startCopy(qmp, {
            settings,
            tlsDir: this.#deps.config.tlsDir,
            target: peer,
            address,
            port,
            downtimeLimitMs,
          });
          this.#watch?.startSampling();
        });
      case "pause-guest":
        return this.#inOrder("pause-guest", async () => {
          if (qmp !== undefined) await outgoing.pauseForSwitchover(qmp);
        });
      case "resume-guest":
        return this.#inOrder("resume-guest", () => this.#resumeGuest());
      case "start-fetch":
        return this.#inOrder("start-fetch", async () => {
          await qmp?.execute("migrate-start-postcopy", {});
        });
      case "set-downtime":
        return this.#inOrder("set-downtime", async () => {
          if (qmp === undefined) return;
          await outgoing.setDowntime(qmp, effect.downtimeMs);
          if (this.#watch !== undefined) this.#watch.downtimeLimitMs = effect.downtimeMs;
        });
      case "throttle":
        return this.#inOrder("throttle", async () => {
          if (qmp !== undefined) await outgoing.throttle(qmp, effect.percentMax);
        });
      case "cancel-copy":
        return this.#inOrder("cancel-copy", () => this.#cancelCopy());
      case "unwind-fetch":
        return this.#inOrder("unwind-fetch", () => this.#unwindFetch());
    }
  }

  /** A QMP effect that fails ends the copy by its ordinary way out; a dead QEMU tells of itself. */
  #inOrder(name: string, act: () => Promise<void>): void {
    const before = this.#control;
    this.#control = (async () => {
      await before;
      try {
        await act();
      } catch (error) {
        const coded = toCodedError(error);
        this.#note(`${name} failed: ${coded.message}`);
        this.#deps.log.warn({ migration: this.id, effect: name, err: coded }, "an effect failed");
        if (coded.code === "QMP_LOST") return;
        if (name === "unwind-fetch") return this.#retryUnwind();
        if (name === "start-copy") this.dispatch({ type: "copy-ended", why: coded.message });
      }
    })();
  }

  /** Until it succeeds the guest stays paused here; QEMU may only have been slow. */
  #retryUnwind(): void {
    void (async () => {
      await this.#wait(UNWIND_RETRY_MS);
      if (this.#record.state.phase === "cancelling") this.#perform({ do: "unwind-fetch" });
    })();
  }

  async #prepareTarget(): Promise<void> {
    const { vms, config, peer } = this.#deps;
    try {
      const { machine, accelerator } = vms.changed(this.#record.vm, {});
      const body = {
        id: this.id,
        machine,
        source: config.name,
        sourceQemu: this.#record.origin.qemuVersion,
        accelerator,
        settings: this.#record.settings,
      };
      const prepared = await peer.call(peerRoutes.prepare, {
        body,
        timeoutMs: PREPARE_TIMEOUT_MS,
        signal: this.#background.signal,
      });
      this.#saw({ address: prepared.address, port: prepared.port });
      this.dispatch({ type: "target-ready", nowMs: nowMs() });
    } catch (error) {
      const coded = toCodedError(error);
      this.dispatch({
        type: "prepare-failed",
        code: peerCode(coded) ?? coded.code,
        why: coded.message,
      });
    }
  }

  async #offer(): Promise<void> {
    if (this.#record.state.phase !== "handing-over" || this.#background.signal.aborted) return;
    try {
      if (!(await this.#memoryEqual(this.#record.state))) return;
      const view = await this.#deps.peer.call(peerRoutes.handOver, {
        params: { id: this.id },
        timeoutMs: OFFER_TIMEOUT_MS,
      });
      this.#tellTarget(view, () =>
        this.dispatch({
          type: "offer-unanswered",
          why: `the target is still ${view.phase}`,
          incomplete: true,
        }),
      );
    } catch (error) {
      const coded = toCodedError(error);
      if (peerCode(coded) === "MIGRATION_UNKNOWN")
        this.dispatch({ type: "target-void", why: "it does not know this migration" });
      else if (undelivered(error)) this.dispatch({ type: "offer-undelivered", why: coded.message });
      else this.dispatch({ type: "offer-unanswered", why: coded.message });
    }
  }

  /** With verifyMemory, the stopped guest's memory must be the same on both hosts before the VM is offered. */
  async #memoryEqual(state: Extract<Source, { phase: "handing-over" }>): Promise<boolean> {
    if (
      !this.#record.settings.verifyMemory ||
      state.way !== "copy" ||
      this.#verified !== undefined ||
      this.#qemu === undefined
    )
      return true;
    const { machine } = this.#deps.vms.changed(this.#record.vm, {});
    const [here, there] = await Promise.all([
      memoryDigest(this.#qemu, machine),
      this.#deps.peer.call(peerRoutes.digest, { params: { id: this.id }, timeoutMs: DIGEST_TIMEOUT_MS }),
    ]);
    this.#verified = here === there.sha256;
    this.#saw({ memoryDigests: { source: here, target: there.sha256 } });
    if (this.#verified) return true;
    await this.#voidTarget();
    this.dispatch({ type: "target-void", why: "its copy of the memory differs from the source's" });
    return false;
  }

  #tellTarget(view: TargetView, otherwise: () => void): void {
    this.#targetView = view;
    switch (view.phase) {
      case "running":
        return this.dispatch({ type: "target-running" });
      case "done":
        return this.dispatch({ type: "target-done" });
      case "accepted":
        return this.dispatch({ type: "target-accepted" });
      case "void":
        return this.dispatch({ type: "target-void", why: view.why });
      case "lost":
        return this.dispatch({ type: "target-lost", why: view.why });
      default:
        return otherwise();
    }
  }

  async #confirmRunning(): Promise<void> {
    while (this.#record.state.phase === "handed-over" && !this.#background.signal.aborted) {
      try {
        const view = await this.#deps.peer.call(peerRoutes.target, { params: { id: this.id } });
        this.#tellTarget(view, () => {});
      } catch {
        // It accepted; nothing but its own word ends the question.
      }
      await this.#wait(CONFIRM_PERIOD_MS);
    }
  }

  /**
   * QEMU 7.2 waits for ever when the other end dies after the last page was sent. The target's agent knows more; its
   * "done" counts when this side has not noticed by itself one look later.
   */
  async #watchFetch(): Promise<void> {
    let doneBefore = false;
    for (;;) {
      await this.#wait(FETCH_LOOK_PERIOD_MS);
      if (this.#record.state.phase !== "fetching" || this.#background.signal.aborted) return;
      const view = await this.#askTarget();
      if (view?.phase === "lost" || (view?.phase === "done" && doneBefore)) this.#tellTarget(view, () => {});
      doneBefore = view?.phase === "done";
    }
  }

  async #voidTarget(): Promise<void> {
    this.#record = { ...this.#record, voidOwed: true };
    for (let attempt = 0; attempt < VOID_ATTEMPTS_MAX && !this.#background.signal.aborted; attempt += 1) {
      try {
        const view = await this.#deps.peer.call(peerRoutes.voidTarget, { params: { id: this.id } });
        this.#paidVoid();
        return this.#tellTarget(view, () => {});
      } catch (error) {
        if (peerCode(toCodedError(error)) === "MIGRATION_UNKNOWN") return this.#paidVoid();
        if (attempt === 0) this.#deps.store.commit(this.#record);
        await this.#wait(VOID_RETRY_MS);
      }
    }
  }

  #paidVoid(): void {
    this.#record = { ...this.#record, voidOwed: false };
    this.#deps.store.commit(this.#record);
  }

  async #recoverFetch(afterMs: number): Promise<void> {
    await this.#wait(afterMs);
    const qemu = this.#qemu;
    if (this.#record.state.phase !== "fetch-paused") return;
    try {
      if (qemu === undefined || !this.#deps.vms.qemu(this.#record.vm))
        throw new CodedError("QMP_LOST", { command: "migrate" });
      const { address, port, view } = await this.#deps.peer.call(peerRoutes.recoverTarget, {
        params: { id: this.id },
      });
      this.#targetView = view;
      this.#saw({ address, port });
      await qemu.qmp.execute("migrate", { uri: `tcp:${address}:${port}`, resume: true });
      await outgoing.awaitRecovery(qemu.qmp);
    } catch (error) {
      const { message: why, code } = toCodedError(error);
      // It may refuse because nothing is missing any more, or because its QEMU is gone: then trying on is in vain.
      const view = await this.#askTarget();
      if (view?.phase === "done" || view?.phase === "lost") return this.#tellTarget(view, () => {});
      this.dispatch({ type: code === "QMP_LOST" ? "source-lost" : "recover-failed", why });
    }
  }

  async #askTarget(): Promise<TargetView | undefined> {
    return this.#deps.peer
      .call(peerRoutes.target, { params: { id: this.id }, timeoutMs: 2_000 })
      .catch(() => undefined);
  }

  async #cancelCopy(): Promise<void> {
    const qmp = this.#qemu?.qmp;
    if (qmp === undefined) return;
    const { status } = await qmp.execute("query-migrate", {});
    if (status === undefined || status === "none")
      return this.dispatch({ type: "copy-ended", why: "it had not begun" });
    if (status === "failed" || status === "cancelled")
      return this.dispatch({ type: "copy-ended", why: status });
    if (status === "completed") return this.dispatch({ type: "copy-completed" });
    if (status.startsWith("postcopy")) return this.#unwindFetch();
    await qmp.execute("migrate_cancel", {});
  }

  /**
   * The device state has left, but the target has promised (or was never asked) to run it: the guest may run here
   * again. QEMU has no command for that; reclaim.ts finishes the fetch against a stand-in.
   */
  async #unwindFetch(): Promise<void> {
    const qemu = this.#qemu;
    if (qemu === undefined) return;
    this.#reclaiming = true;
    try {
      await outgoing.breakFetch(qemu.qmp);
      const { status } = await qemu.qmp.execute("query-migrate", {});
      if (status === "postcopy-paused") await reclaimSource(qemu.qmp, qemu.handle.dir);
    } finally {
      this.#reclaiming = false;
    }
    this.dispatch({ type: "copy-ended", why: "the fetch was undone" });
  }

  async #resumeGuest(): Promise<void> {
    const qmp = this.#qemu?.qmp;
    if (qmp === undefined) return;
    const { running } = await qmp.execute("query-status", {});
    if (!running) await qmp.execute("cont", {});
    // QEMU resumes the guest itself when a copy fails, and the event may have come before it was awaited.
    this.dispatch({ type: "guest-running" });
  }

  async #release(): Promise<void> {
    await this.#gather();
    this.#watch?.close();
    await this.#deps.vms.remove(this.#record.vm);
    this.#note("source released");
    await this.#finish();
  }

  /** The last readings while both QEMUs still answer. */
  async #gather(): Promise<void> {
    const qemu = this.#qemu;
    const info = await qemu?.qmp.execute("query-migrate", {}).catch(() => undefined);
    let cpu: number | undefined;
    try {
      cpu = qemu?.cpuSeconds();
    } catch {
      cpu = undefined;
    }
    this.#saw({
      countersAtEnd: this.#counters(),
      ...(info === undefined ? {} : { qemuInfo: info }),
      ...(cpu === undefined ? {} : { qemuCpuAtEnd: cpu }),
    });
    const view = await this.#askTarget();
    if (view !== undefined) this.#targetView = view;
  }

  async #finish(): Promise<void> {
    const { state } = this.#record;
    if (state.phase !== "done") await this.#gather();
    try {
      const document: Report = writeReport(this.#record, this.#deps.config.name, this.#targetView);
      this.#commit(state);
      this.#deps.store.putReport(this.id, document);
    } catch (error) {
      this.#deps.log.error({ migration: this.id, err: error }, "the report could not be written");
    }
    this.#finished = true;
    if (state.phase !== "needs-person") this.#watch?.close();
    this.#publish();
  }

  #attach(qemu: QemuProcess): void {
    this.#qemu = qemu;
    void qemu.exited.then((why) => this.dispatch({ type: "source-lost", why }));
    this.#watch = new QemuWatch(qemu.qmp, {
      guest: (what, atNs) => {
        this.#note(`guest ${what}`, atNs);
        this.dispatch({ type: what === "paused" ? "guest-paused" : "guest-running" });
      },
      status: (status, atNs) => {
        this.#note(`QEMU ${status}`, atNs);
        if (!this.#reclaiming) void this.#onStatus(status, qemu);
      },
      sample: (sample, ended, info) => this.#onSample(sample, ended, info),
    });
  }

  async #onStatus(status: NonNullable<MigrationInfo["status"]>, qemu: QemuProcess): Promise<void> {
    switch (status) {
      case "completed":
        return this.dispatch({ type: "copy-completed" });
      case "postcopy-active":
        return this.dispatch({
          type: this.#record.state.phase === "fetch-paused" ? "fetch-resumed" : "fetch-started",
        });
      case "postcopy-paused":
        return this.dispatch({ type: "fetch-broken", why: "the connection between the QEMUs broke" });
      case "cancelled":
        return this.dispatch({ type: "copy-ended", why: "cancelled" });
      case "failed": {
        const info = await qemu.qmp.execute("query-migrate", {}).catch(() => undefined);
        return this.dispatch({ type: "copy-ended", why: info?.["error-desc"] ?? "QEMU does not say why" });
      }
      default:
        return;
    }
  }

  #onSample(sample: CopySample, ended: Round | undefined, info: MigrationInfo): void {
    this.#sample = sample;
    if (ended !== undefined) this.#saw({ rounds: [...this.#record.evidence.rounds, ended] });
    this.#saw({ qemuInfo: info });
    if (this.#record.state.phase === "fetching") this.#pushOn(info);
    this.dispatch({ type: "sample", nowMs: nowMs(), sample, ...(ended === undefined ? {} : { ended }) });
  }

  /** A restarted agent begins slowly again: it does not know how far the push had come. */
  #pushOn(info: MigrationInfo): void {
    const asked = outgoing.askedBandwidth(this.#record.settings);
    const requests = info.ram?.["postcopy-requests"] ?? 0;
    const before = this.#push ?? { bytesPerSecond: firstPush(asked), requests, sinceMs: nowMs() };
    const fetchingMs = nowMs() - before.sinceMs;
    const bytesPerSecond = nextPush(before.bytesPerSecond, asked, requests - before.requests, fetchingMs);
    this.#push = { ...before, bytesPerSecond, requests };
    const qmp = this.#qemu?.qmp;
    if (bytesPerSecond === before.bytesPerSecond || qmp === undefined) return;
    this.#inOrder("push", () => outgoing.setPush(qmp, bytesPerSecond));
  }

  #publish(): void {
    const { state, settings } = this.#record;
    const startedAtMs = Number(BigInt(this.#record.t0Ns) / 1000n) / 1000;
    const sample = this.#sample;
    this.#progress = nextProgress(this.#progress, {
      phase: state.phase,
      settings,
      nowMs: nowMs(),
      startedAtMs,
      ...(sample === undefined
        ? {}
        : { view: { nowMs: nowMs(), startedAtMs, rounds: this.#record.evidence.rounds, sample } }),
    });
    this.#deps.hub.publish({ type: "migration", migration: this.view() });
  }

  #note(what: string, atNs: bigint = nowNs()): void {
    this.#record = { ...this.#record, timeline: [...this.#record.timeline, { atNs: String(atNs), what }] };
  }

  #saw(more: Partial<Evidence>): void {
    this.#record = { ...this.#record, evidence: { ...this.#record.evidence, ...more } };
  }

  #counters(): ReturnType<typeof readCounters> {
    return readCounters(this.#deps.config.migration.interface);
  }

  #wait(ms: number): Promise<void> {
    if (ms <= 0 || this.#background.signal.aborted) return Promise.resolve();
    return new Promise((resolve) => setTimeout(resolve, ms));
  }
}

/** Rounds and the decider's memory change ten times a second and are rebuilt after a restart; the rest is journaled. */
const journalKey = (state: Source): string =>
  JSON.stringify(state.phase === "copying" ? { ...state, rounds: [], memory: null } : state);
