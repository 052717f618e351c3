/**
 * The source's hand to its own QEMU: performs what was decided, in the order it was decided, and tells what QEMU does as
 * events.
 */
import type { SourceEffect } from "../migration/source-types.ts";
import type { CopySample, Round } from "../migration/types.ts";
import type { MigrationInfo } from "../qmp/commands.ts";
import { reclaimSource } from "../qemu/reclaim.ts";
import type { QemuProcess } from "../qemu/types.ts";
import { CodedError, toCodedError } from "../std/errors.ts";
import { nowMs } from "./clock.ts";
import * as outgoing from "./qemu-migration.ts";
import { outgoingUri } from "./outgoing-way.ts";
import type { Run } from "./source-ports.ts";
import { QemuWatch } from "./watch-qemu.ts";

const RETRY_MS = 1_000;
/** Each waits for some seconds. */
const UNWINDS_MAX = 2;
const HOLD_TIMEOUT_MS = 1_000;

/** The effects that are QMP commands of this side. */
export type QemuEffect = Extract<
  SourceEffect,
  {
    do:
      | "start-copy"
      | "pause-guest"
      | "resume-guest"
      | "start-fetch"
      | "set-downtime"
      | "throttle"
      | "cancel-copy"
      | "unwind-fetch";
  }
>;

export class SourceQemu {
  readonly #run: Run;
  #qemu: QemuProcess | undefined;
  #watch: QemuWatch | undefined;
  #sample: CopySample | undefined;
  /** What QEMU tells meanwhile is the stand-in's story. */
  #reclaiming = false;
  #failedUnwinds = 0;
  /** QMP commands of one migration run in the order they were decided. */
  #control: Promise<void> = Promise.resolve();

  constructor(run: Run) {
    this.#run = run;
  }

  get process(): QemuProcess | undefined {
    return this.#qemu;
  }
  get sample(): CopySample | undefined {
    return this.#sample;
  }

  startSampling(): void {
    this.#watch?.startSampling();
  }

  /** Stops listening; QEMU goes on. */
  detach(): void {
    this.#watch?.close();
  }

  /** Not in order behind slower commands: a second guest may be running. If it cannot be stopped it must go. */
  hold(): void {
    const qemu = this.#qemu;
    void qemu?.qmp.execute("stop", {}, { timeoutMs: HOLD_TIMEOUT_MS }).catch(() => qemu.kill());
  }

  perform(effect: QemuEffect): void {
    const qmp = this.#qemu?.qmp;
    switch (effect.do) {
      case "start-copy":
        return this.#inOrder("start-copy", async () => {
          if (qmp === undefined) return;
          if (this.#watch !== undefined) this.#watch.downtimeLimitMs = effect.downtimeLimitMs;
          const { settings, peer } = this.#run.record;
          const { downtimeLimitMs } = effect;
          await outgoing.startCopy(qmp, {
            settings,
            plan: outgoing.planOf(this.#run.record),
            tlsDir: this.#run.deps.config.tlsDir,
            target: peer,
            uri: outgoingUri(this.#run),
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
        return this.unwindFetch();
    }
  }

  unwindFetch(): void {
    this.#inOrder("unwind-fetch", () => this.#unwindFetch());
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
        this.#run.note(`${name} failed: ${coded.message}`);
        this.#run.deps.log.warn({ effect: name, err: coded }, "an effect failed");
        if (coded.code === "QMP_LOST") return;
        if (name === "unwind-fetch") return this.#unwindFailed(coded.message);
        // The target's QEMU may hold a disk's lock for the moment it still takes to end.
        if (name === "resume-guest") return this.#retry(() => this.perform({ do: "resume-guest" }));
        if (name === "start-copy") this.#run.dispatch({ type: "copy-ended", why: coded.message });
      }
    })();
  }

  #unwindFailed(why: string): void {
    this.#failedUnwinds += 1;
    if (this.#failedUnwinds < UNWINDS_MAX) this.#retry(() => this.unwindFetch());
    else this.#run.dispatch({ type: "unwind-failed", why });
  }

  /** Until it succeeds the guest stays paused here; QEMU may only have been slow. */
  #retry(act: () => void): void {
    void (async () => {
      await this.#run.wait(RETRY_MS);
      if (this.#run.record.state.phase === "cancelling") act();
    })();
  }

  async #cancelCopy(): Promise<void> {
    const qmp = this.#qemu?.qmp;
    if (qmp === undefined) return;
    const { status } = await qmp.execute("query-migrate", {});
    if (status === undefined || status === "none")
      return this.#run.dispatch({ type: "copy-ended", why: "it had not begun" });
    if (status === "failed" || status === "cancelled")
      return this.#run.dispatch({ type: "copy-ended", why: status });
    if (status === "completed") return this.#run.dispatch({ type: "copy-completed" });
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
      // QEMU 7.2 waits for ever when the other end dies after the last page was sent.
      else if (status?.startsWith("postcopy") === true)
        throw new CodedError("TOOL_FAILED", { command: "QEMU", why: `it stays ${status}` });
    } finally {
      this.#reclaiming = false;
    }
    this.#run.dispatch({ type: "copy-ended", why: "the fetch was undone" });
  }

  async #resumeGuest(): Promise<void> {
    const qmp = this.#qemu?.qmp;
    if (qmp === undefined) return;
    const { running } = await qmp.execute("query-status", {});
    if (!running) await qmp.execute("cont", {});
    // QEMU resumes the guest itself when a copy fails, and the event may have come before it was awaited.
    this.#run.dispatch({ type: "guest-running" });
  }

  attach(qemu: QemuProcess): void {
    this.#qemu = qemu;
    void qemu.exited.then((why) => this.#run.dispatch({ type: "source-lost", why }));
    this.#watch = new QemuWatch(qemu.qmp, {
      guest: (what, atNs) => {
        this.#run.note(`guest ${what}`, atNs);
        this.#run.dispatch({ type: what === "paused" ? "guest-paused" : "guest-running" });
      },
      status: (status, atNs) => {
        this.#run.note(`QEMU ${status}`, atNs);
        if (!this.#reclaiming) void this.#onStatus(status, qemu);
      },
      sample: (sample, ended, info) => this.#onSample(sample, ended, info),
    });
  }

  async #onStatus(status: NonNullable<MigrationInfo["status"]>, qemu: QemuProcess): Promise<void> {
    switch (status) {
      case "completed":
        return this.#run.dispatch({ type: "copy-completed" });
      case "postcopy-active":
        return this.#run.dispatch({
          type: this.#run.record.state.phase === "fetch-paused" ? "fetch-resumed" : "fetch-started",
        });
      case "postcopy-paused":
        return this.#run.dispatch({ type: "fetch-broken", why: "the connection between the QEMUs broke" });
      case "cancelled":
        return this.#run.dispatch({ type: "copy-ended", why: "cancelled" });
      case "failed": {
        const info = await qemu.qmp.execute("query-migrate", {}).catch(() => undefined);
        // QEMU only sees its socket close; the relay knows why it closed it.
        const why = (await this.#relayTrouble()) ?? info?.["error-desc"] ?? "QEMU does not say why";
        return this.#run.dispatch({ type: "copy-ended", why });
      }
      default:
        return;
    }
  }

  async #relayTrouble(): Promise<string | undefined> {
    if (outgoing.planOf(this.#run.record).path === "direct") return undefined;
    await this.#run.relay.lastWords();
    return this.#run.relay.trouble;
  }

  #onSample(sample: CopySample, ended: Round | undefined, info: MigrationInfo): void {
    this.#sample = sample;
    if (ended !== undefined) this.#run.saw({ rounds: [...this.#run.record.evidence.rounds, ended] });
    this.#run.saw({ qemuInfo: info });
    // Answered in time for the next sample.
    if (outgoing.planOf(this.#run.record).path === "relay") void this.#run.relay.poll();
    this.#run.dispatch({ type: "sample", nowMs: nowMs(), sample, ...(ended === undefined ? {} : { ended }) });
  }
}
