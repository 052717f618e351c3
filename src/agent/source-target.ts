/** The source's hand to the target's agent: asks, tells what it answers as events, and keeps asking where it must. */
import { setImmediate } from "node:timers/promises";

import { peerRoutes, type TargetView } from "../api/peer-routes.ts";
import type { Source } from "../migration/source-types.ts";
import type { Chosen } from "../migration/wire-choice.ts";
import type { QemuProcess } from "../qemu/types.ts";
import { CodedError, toCodedError } from "../std/errors.ts";
import { nowMs } from "./clock.ts";
import { memoryDigest } from "./memory-digest.ts";
import { peerCode, undelivered } from "./peers.ts";
import { chooseWay, decideTechnique, type Measured, measureWay, startOutgoingRelay } from "./outgoing-way.ts";
import { awaitRecovery, PLAIN, planOf, tcpUri, unixUri } from "./qemu-migration.ts";
import type { Run } from "./source-ports.ts";
import { traceparentOf, tracesUrl } from "./traceparent.ts";

const PREPARE_TIMEOUT_MS = 60_000;
/** Longer than the target holds the question open, so that a live target always answers. */
const OFFER_TIMEOUT_MS = 6_000;
const ASK_TIMEOUT_MS = 2_000;
const CONFIRM_PERIOD_MS = 250;
const FETCH_LOOK_PERIOD_MS = 1_000;
const VOID_RETRY_MS = 2_000;
const VOID_ATTEMPTS_MAX = 30;
const DIGEST_TIMEOUT_MS = 180_000;

const RECOVER_TIMEOUT_MS = 30_000;

const plainInstead = ({ record }: Run, why: string): string =>
  `Direct, one plain stream, since the target could not start its relay (${why}). It was to be: ${record.wire?.reason ?? ""}`;

export class SourceTarget {
  readonly #run: Run;
  readonly #qemu: () => QemuProcess | undefined;
  #view: TargetView | undefined;
  #verified: boolean | undefined;

  constructor(run: Run, qemu: () => QemuProcess | undefined) {
    this.#run = run;
    this.#qemu = qemu;
  }

  /** Its last words. */
  get view(): TargetView | undefined {
    return this.#view;
  }

  async prepare(): Promise<void> {
    const { vms, config, peer } = this.#run.deps;
    try {
      const { machine, accelerator } = vms.changed(this.#run.record.vm, {});
      const measured = await measureWay(this.#run);
      const body = {
        id: this.#run.id,
        machine,
        source: config.name,
        sourceQemu: this.#run.record.origin.qemuVersion,
        accelerator,
        settings: this.#run.record.settings,
      };
      const call = { timeoutMs: PREPARE_TIMEOUT_MS, signal: this.#run.signal };
      const traceparent = tracesUrl(config.otel, process.env) && traceparentOf(this.#run.id);
      const prepared = peer.call(peerRoutes.prepare, { ...call, body, traceparent });
      prepared.catch(() => {}); // told below
      // The target starts QEMU while the guest's pages are sampled, once it has been asked to.
      await setImmediate();
      const [chosen] = await Promise.all([this.#choose(measured), prepared]);
      if (this.#run.record.state.phase !== "preparing" || this.#run.signal.aborted) return;
      this.#run.chose(chosen);
      const asked = peer.call(peerRoutes.listen, {
        ...call,
        params: { id: this.#run.id },
        body: { wire: chosen.plan, technique: this.#run.record.settings.technique },
      });
      await startOutgoingRelay(this.#run, false, asked);
      const { address, port, instead } = await asked;
      if (this.#run.record.state.phase !== "preparing") return;
      if (instead !== undefined) this.#run.chose({ plan: PLAIN, reason: plainInstead(this.#run, instead) });
      this.#run.saw({ address, port });
      const { path } = planOf(this.#run.record);
      this.#run.dispatch({ type: "target-ready", nowMs: nowMs(), path });
    } catch (error) {
      const coded = toCodedError(error);
      this.#run.dispatch({
        type: "prepare-failed",
        code: peerCode(coded) ?? coded.code,
        why: coded.message,
      });
    }
  }

  /** The technique, where it was left to the agent, and the way. */
  async #choose(measured: Measured): Promise<Chosen> {
    const qemu = this.#qemu();
    const { looks } = this.#run;
    if (looks === undefined || qemu === undefined) return chooseWay(this.#run, qemu, measured);
    const { technique, content } = await decideTechnique(this.#run, qemu, measured, looks);
    this.#run.decided(technique);
    return chooseWay(this.#run, qemu, { ...measured, content });
  }

  async offer(): Promise<void> {
    if (this.#run.record.state.phase !== "handing-over" || this.#run.signal.aborted) return;
    try {
      if (!(await this.#memoryEqual(this.#run.record.state))) return;
      const view = await this.#run.deps.peer.call(peerRoutes.handOver, {
        params: { id: this.#run.id },
        timeoutMs: OFFER_TIMEOUT_MS,
      });
      this.#tell(view, () =>
        this.#run.dispatch({
          type: "offer-unanswered",
          why: `the target is still ${view.phase}`,
          incomplete: true,
        }),
      );
    } catch (error) {
      const coded = toCodedError(error);
      if (peerCode(coded) === "MIGRATION_UNKNOWN")
        this.#run.dispatch({ type: "target-void", why: "it does not know this migration" });
      else if (undelivered(error)) this.#run.dispatch({ type: "offer-undelivered", why: coded.message });
      else this.#run.dispatch({ type: "offer-unanswered", why: coded.message });
    }
  }

  /** With verifyMemory, the stopped guest's memory must be the same on both hosts before the VM is offered. */
  async #memoryEqual(state: Extract<Source, { phase: "handing-over" }>): Promise<boolean> {
    const qemu = this.#qemu();
    const wanted = this.#run.record.settings.verifyMemory && state.way === "copy";
    if (!wanted || this.#verified !== undefined || qemu === undefined) return true;
    const refuse = async (why: string): Promise<false> => {
      // Nothing was offered yet, so its promise is a courtesy: without an offer it never runs.
      void this.void();
      this.#run.dispatch({ type: "target-void", why });
      return false;
    };
    try {
      const { machine, accelerator } = this.#run.deps.vms.changed(this.#run.record.vm, {});
      const call = { params: { id: this.#run.id }, timeoutMs: DIGEST_TIMEOUT_MS };
      const [here, { sha256: there }] = await Promise.all([
        memoryDigest(qemu, machine, accelerator),
        this.#run.deps.peer.call(peerRoutes.digest, call),
      ]);
      this.#verified = here === there;
      this.#run.saw({ memoryDigests: { source: here, target: there } });
      return this.#verified || (await refuse("its copy of the memory differs from the source's"));
    } catch (error) {
      return refuse(`the two memories could not be compared: ${toCodedError(error).message}`);
    }
  }

  #tell(view: TargetView, otherwise: () => void): void {
    this.#view = view;
    switch (view.phase) {
      case "running":
        return this.#run.dispatch({ type: "target-running" });
      case "done":
        return this.#run.dispatch({ type: "target-done" });
      case "accepted":
        return this.#run.dispatch({ type: "target-accepted" });
      case "void":
        return this.#run.dispatch({ type: "target-void", why: view.why });
      case "lost":
        return this.#run.dispatch({ type: "target-lost", why: view.why });
      default:
        return otherwise();
    }
  }

  async confirmRunning(): Promise<void> {
    while (this.#run.record.state.phase === "handed-over" && !this.#run.signal.aborted) {
      try {
        const view = await this.#run.deps.peer.call(peerRoutes.target, { params: { id: this.#run.id } });
        this.#tell(view, () => {});
      } catch {
        // It accepted; nothing but its own word ends the question.
      }
      await this.#run.wait(CONFIRM_PERIOD_MS);
    }
  }

  /**
   * QEMU 7.2 waits for ever when the other end dies after the last page was sent. The target's agent knows more; its
   * "done" counts when this side has not noticed by itself one look later.
   */
  async watchFetch(): Promise<void> {
    let doneBefore = false;
    for (;;) {
      await this.#run.wait(FETCH_LOOK_PERIOD_MS);
      if (this.#run.record.state.phase !== "fetching" || this.#run.signal.aborted) return;
      const view = await this.ask();
      if (view?.phase === "lost" || (view?.phase === "done" && doneBefore)) this.#tell(view, () => {});
      doneBefore = view?.phase === "done";
    }
  }

  async void(): Promise<void> {
    this.#run.owe(true);
    for (let attempt = 0; attempt < VOID_ATTEMPTS_MAX && !this.#run.signal.aborted; attempt += 1) {
      try {
        const view = await this.#run.deps.peer.call(peerRoutes.voidTarget, { params: { id: this.#run.id } });
        this.#paidVoid();
        return this.#tell(view, () => {});
      } catch (error) {
        if (peerCode(toCodedError(error)) === "MIGRATION_UNKNOWN") return this.#paidVoid();
        if (attempt === 0) this.#run.deps.store.commit(this.#run.record);
        await this.#run.wait(VOID_RETRY_MS);
      }
    }
  }

  #paidVoid(): void {
    this.#run.owe(false);
    this.#run.deps.store.commit(this.#run.record);
  }

  async recoverFetch(afterMs: number): Promise<void> {
    await this.#run.wait(afterMs);
    const qemu = this.#qemu();
    if (this.#run.record.state.phase !== "fetch-paused") return;
    try {
      if (qemu === undefined || !this.#run.deps.vms.qemu(this.#run.record.vm))
        throw new CodedError("QMP_LOST", { command: "migrate" });
      const asked = this.#run.deps.peer.call(peerRoutes.recoverTarget, {
        params: { id: this.#run.id },
        timeoutMs: RECOVER_TIMEOUT_MS,
      });
      const { address, port, view } = await asked;
      this.#view = view;
      this.#run.saw({ address, port });
      const throughRelay = planOf(this.#run.record).path === "relay";
      if (throughRelay) await startOutgoingRelay(this.#run, true, asked);
      const uri = throughRelay ? unixUri(this.#run.relay.qemuSocket) : tcpUri(address, port);
      await qemu.qmp.execute("migrate", { uri, resume: true });
      await awaitRecovery(qemu.qmp);
    } catch (error) {
      const { message: why, code } = toCodedError(error);
      // It may refuse because nothing is missing any more, or because its QEMU is gone: then trying on is in vain.
      const view = await this.ask();
      if (view !== undefined && ["done", "lost", "void"].includes(view.phase))
        return this.#tell(view, () => {});
      this.#run.dispatch({ type: code === "QMP_LOST" ? "source-lost" : "recover-failed", why });
    }
  }

  async ask(): Promise<TargetView | undefined> {
    return this.#run.deps.peer
      .call(peerRoutes.target, { params: { id: this.#run.id }, timeoutMs: ASK_TIMEOUT_MS })
      .then((view) => (this.#view = view))
      .catch(() => undefined);
  }
}
