/**
 * The source's side of one migration, acting. What happens becomes an event for step(); the new state is journaled;
 * then the effects are performed, by its hand to QEMU and its hand to the target's agent, and their results come back
 * as events. Nothing is decided here.
 */
import type { MigrationView, Progress } from "../api/migration.ts";
import { fractionBound, nextProgress } from "../migration/progress.ts";
import { isFinal, step } from "../migration/source.ts";
import type { ChosenTechnique } from "../migration/technique-choice.ts";
import type { Chosen } from "../migration/wire-choice.ts";
import type { Job, Source, SourceEffect, SourceEvent } from "../migration/source-types.ts";
import { techniques } from "../migration/techniques/index.ts";
import type { QemuProcess } from "../qemu/types.ts";
import { CodedError } from "../std/errors.ts";
import { nowMs, nowNs } from "./clock.ts";
import { readCounters } from "./counters.ts";
import type { Evidence } from "./evidence.ts";
import { faultPoint } from "./fault.ts";
import type { Looks } from "./memory-change.ts";
import { fetching } from "./outgoing-way.ts";
import { inspect } from "./qemu-migration.ts";
import { RelaySide } from "./relay-side.ts";
import { writeReport } from "./reporting.ts";
import type { Run, SourceDeps, SourceRecord } from "./source-ports.ts";
import { SourceQemu } from "./source-qemu.ts";
import { SourceTarget } from "./source-target.ts";
import { sourceMigrationView } from "./views.ts";

/** The target accepted: by this host's journal too the VM is the target's, until a person takes it back. */
const OWNED_BY_TARGET: ReadonlySet<Source["phase"]> = new Set([
  "handed-over",
  "fetching",
  "fetch-paused",
  "needs-person",
  "done",
]);

export class SourceRun implements Run {
  readonly deps: SourceDeps;
  readonly relay: RelaySide;
  readonly #qemu: SourceQemu;
  readonly #target: SourceTarget;
  readonly #background = new AbortController();
  looks: Looks | undefined;
  #record: SourceRecord;
  #progress: Progress | undefined;
  #finished = false;
  #endingRelay = false;

  constructor(deps: SourceDeps, record: SourceRecord) {
    this.deps = { ...deps, log: deps.log.child({ migration: record.id, vm: record.vm }) };
    this.#record = record;
    this.relay = new RelaySide({
      stateDir: deps.config.stateDir,
      migration: record.id,
      handles: record.relays ?? [],
      journal: (relays) => {
        this.#record = { ...this.#record, relays };
        deps.store.commit(this.#record);
      },
      standby: deps.standby,
    });
    this.#qemu = new SourceQemu(this);
    this.#target = new SourceTarget(this, () => this.#qemu.process);
    this.#finished = isFinal(record.state) && deps.store.report(record.id) !== undefined;
  }

  get #job(): Job {
    const { settings } = this.#record;
    return { settings, technique: techniques[settings.technique] };
  }
  get id(): string {
    return this.#record.id;
  }
  get record(): SourceRecord {
    return this.#record;
  }
  get signal(): AbortSignal {
    return this.#background.signal;
  }
  get state(): Source {
    return this.#record.state;
  }
  get finished(): boolean {
    return this.#finished;
  }
  /** Its relay still has something to do. */
  get endingRelay(): boolean {
    return this.#endingRelay;
  }
  view(): MigrationView {
    return sourceMigrationView(this.#record, this.deps.config.name, this.#finished, this.#progress);
  }

  /** With `looks` the technique is the agent's choice. */
  start(qemu: QemuProcess, looks?: Looks): void {
    this.looks = looks;
    this.saw({
      countersAtStart: this.#counters(),
      qemuCpuAtStart: qemu.cpuSeconds(),
    });
    this.#commit(this.#record.state);
    this.#qemu.attach(qemu);
    this.#perform({ do: "prepare-target" });
  }

  /** Continues after an agent restart. */
  async resume(qemu: QemuProcess | undefined): Promise<void> {
    if (this.#record.voidOwed) void this.#target.void();
    if (this.#finished) return;
    if (isFinal(this.#record.state)) return this.#finish();
    await this.relay.adopt();
    if (qemu !== undefined) {
      this.#qemu.attach(qemu);
      this.#qemu.startSampling();
    }
    const found = qemu === undefined ? ({ qemu: "gone" } as const) : await inspect(qemu.qmp);
    this.dispatch({ type: "restarted", found });
    // It still waits for a person; who follows it must hear that again.
    if (this.#record.state.phase === "needs-person") await this.#finish();
  }

  cancel(): MigrationView {
    const { phase } = this.#record.state;
    if (["handed-over", "fetching", "fetch-paused", "done"].includes(phase)) {
      throw new CodedError("TOO_LATE", { migration: this.id, phase });
    }
    this.note("cancel asked");
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
    this.#qemu.detach();
  }

  dispatch(event: SourceEvent): void {
    if (this.#background.signal.aborted) return;
    const before = this.#record.state;
    const { state, effects } = step(before, event, this.#job);
    if (state.phase !== before.phase) this.note(`source ${state.phase}`);
    // Journaled with the step: after a crash right here the target is still owed the word.
    if (effects.some((effect) => effect.do === "void-target")) this.owe(true);
    if (journalKey(state) !== journalKey(before)) this.#commit(state);
    else this.#record = { ...this.#record, state };
    this.#publish();
    for (const effect of effects) this.#perform(effect);
    if (state.phase === "fetching" && before.phase !== "fetching") void this.#target.watchFetch();
    const stuck = state.phase === "needs-person" && before.phase !== "needs-person";
    if ((state.phase === "aborted" && before.phase !== "aborted") || stuck) void this.#finish();
  }

  #commit(state: Source): void {
    this.#record = { ...this.#record, state };
    const { vms, store } = this.deps;
    const known = vms.record(this.#record.vm);
    // A target that promised never to run it owns nothing, whatever a person still has to decide here.
    const owner =
      OWNED_BY_TARGET.has(state.phase) && this.#target.view?.phase !== "void"
        ? this.#record.peer
        : this.deps.config.name;
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
    switch (effect.do) {
      case "note":
        return this.note(effect.text);
      case "prepare-target":
        return void this.#target.prepare();
      case "offer":
        return void this.#target.offer();
      case "wait-to-offer":
        return void this.wait(effect.afterMs).then(() => this.dispatch({ type: "offer-due" }));
      case "confirm-running":
        return void this.#target.confirmRunning();
      case "void-target":
        return void this.#target.void();
      case "recover-fetch":
        return void this.#target.recoverFetch(effect.afterMs);
      case "hold-guest":
        return this.#qemu.hold();
      case "fence-source":
        return void this.#qemu.process?.kill();
      case "release-source":
        return void this.#release().catch((error: unknown) =>
          this.deps.log.error({ err: error }, "the source could not be released"),
        );
      default:
        return this.#qemu.perform(effect);
    }
  }

  async #release(): Promise<void> {
    await this.#gather();
    this.#qemu.detach();
    await this.deps.vms.remove(this.#record.vm);
    this.note("source released");
    await this.#finish();
  }

  /** The last readings while both QEMUs still answer. */
  async #gather(): Promise<void> {
    const qemu = this.#qemu.process;
    const info = await qemu?.qmp.execute("query-migrate", {}).catch(() => undefined);
    await this.relay.lastWords();
    const wire = this.relay.counters("out");
    let cpu: number | undefined;
    try {
      cpu = qemu?.cpuSeconds();
    } catch {
      cpu = undefined;
    }
    this.saw({
      countersAtEnd: this.#counters(),
      ...(info === undefined ? {} : { qemuInfo: info }),
      ...(wire === undefined ? {} : { wire }),
      ...(cpu === undefined ? {} : { qemuCpuAtEnd: cpu }),
    });
    await this.#target.ask();
  }

  async #finish(): Promise<void> {
    const { state } = this.#record;
    if (state.phase !== "done") await this.#gather();
    try {
      const document = writeReport(this.#record, this.deps.config.name, this.#target.view);
      this.#commit(state);
      this.deps.store.putReport(this.id, document);
    } catch (error) {
      this.deps.log.error({ err: error }, "the report could not be written");
    }
    const relayEnded = this.#endRelay(state);
    // After a good end it may still write its page store: nobody has to wait for that.
    if (state.phase !== "done") await relayEnded;
    this.#finished = true;
    if (state.phase !== "needs-person") this.#qemu.detach();
    this.#publish();
  }

  /** A person may still let a fetch continue, through a relay of its own. */
  async #endRelay(state: Source): Promise<void> {
    if (state.phase === "needs-person") return;
    this.#endingRelay = true;
    await this.relay
      .end()
      .catch((error: unknown) =>
        this.deps.log.error({ migration: this.id, err: error }, "the relay could not be ended"),
      );
    this.#endingRelay = false;
  }

  #publish(): void {
    const { state, settings } = this.#record;
    const startedAtMs = Number(BigInt(this.#record.t0Ns) / 1000n) / 1000;
    const { sample } = this.#qemu;
    const wire = this.relay.counters("out") ?? this.#record.evidence.wire;
    this.#progress = nextProgress(this.#progress, {
      phase: state.phase,
      settings,
      nowMs: nowMs(),
      startedAtMs,
      fractionBound: this.#record.evidence.fractionBound,
      wire,
      ...(sample === undefined
        ? {}
        : { view: { nowMs: nowMs(), startedAtMs, rounds: this.#record.evidence.rounds, sample } }),
    });
    this.#promiseFraction(this.#progress);
    this.deps.hub.publish({ type: "migration", migration: this.view() });
  }

  /** Only while nothing waits for it: a write to disk is no part of a pause. */
  #promiseFraction(progress: Progress): void {
    if (progress.phase !== "copying" && progress.phase !== "fetching") return;
    const bound = fractionBound(progress);
    if (bound <= (this.#record.evidence.fractionBound ?? 0)) return;
    this.saw({ fractionBound: bound });
    try {
      this.deps.store.commit(this.#record);
    } catch (error) {
      this.deps.log.warn({ err: error }, "how far it is could not be journaled");
    }
  }

  note(what: string, atNs: bigint = nowNs()): void {
    this.#record = { ...this.#record, timeline: [...this.#record.timeline, { atNs: String(atNs), what }] };
  }

  saw(more: Partial<Evidence>): void {
    this.#record = { ...this.#record, evidence: { ...this.#record.evidence, ...more } };
  }

  decided({ technique, reason }: ChosenTechnique): void {
    this.note(reason);
    const { settings } = this.#record;
    if (technique === "post-copy") this.#record = { ...this.#record, settings: fetching(settings) };
  }

  chose({ plan, reason }: Chosen): void {
    this.note(reason);
    this.#record = { ...this.#record, wire: { plan, reason } };
    this.deps.store.commit(this.#record);
    this.#publish();
  }

  owe(voidOwed: boolean): void {
    this.#record = { ...this.#record, voidOwed };
  }

  #counters(): ReturnType<typeof readCounters> {
    return readCounters(this.deps.config.migration.interface);
  }

  wait(ms: number): Promise<void> {
    if (ms <= 0 || this.#background.signal.aborted) return Promise.resolve();
    return new Promise((resolve) => setTimeout(resolve, ms));
  }
}

/** Rounds and the decider's memory change ten times a second and are rebuilt after a restart; the rest is journaled. */
const journalKey = (state: Source): string =>
  JSON.stringify(state.phase === "copying" ? { ...state, rounds: [], memory: null } : state);
