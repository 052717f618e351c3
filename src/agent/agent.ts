/** One host's agent: its VMs, the migrations it takes part in, and the answers to every route. */
import { setImmediate } from "node:timers/promises";

import type { CheckReport, VmView } from "../api/host.ts";
import type { MachineSpec } from "../api/machine.ts";
import type { MigrateRequest, MigrationView } from "../api/migration.ts";
import type { Observation, Report } from "../api/report.ts";
import { type HostState, peerRoutes, type PrepareRequest } from "../api/peer-routes.ts";
import type { localRoutes } from "../api/routes.ts";
import { contradictions } from "../migration/contradictions.ts";
import { withObservation } from "../migration/observation.ts";
import { missingHere } from "../qemu/missing.ts";
import type { Standby } from "../relay/standby.ts";
import { CodedError } from "../std/errors.ts";
import { cleanUp } from "./cleanup.ts";
import { nowNs } from "./clock.ts";
import type { AgentConfig } from "./config.ts";
import { CpuMeter } from "./cpu.ts";
import { EventHub } from "./events.ts";
import { Facts, ownersOnly, peerViews, vmsOf } from "./facts.ts";
import { GuestBook, guestOf } from "./guest-book.ts";
import type { Asked, Handlers } from "./http.ts";
import { LinkBook } from "./link-book.ts";
import type { Log } from "./log.ts";
import type { Looks } from "./memory-change.ts";
import { type BothFacts, copied, sourceRecord, targetRecord } from "./new-record.ts";
import type { OfficeKey } from "./office.ts";
import { pauseFor } from "./pause.ts";
import { Peer } from "./peers.ts";
import { lacksOf, preflight } from "./preflight.ts";
import { SourceRun } from "./source-run.ts";
import type { MigrationRecord, Store } from "./store.ts";
import { type TargetDeps, TargetRun } from "./target-run.ts";
import { sourceMigrationView, targetMigrationView } from "./views.ts";
import { pageOfVms } from "./vm-page.ts";
import { chooseAccelerator, Vms } from "./vms.ts";

type Local = Omit<typeof localRoutes, OfficeKey>;
type PeerTable = typeof peerRoutes;

export class Agent {
  readonly config: AgentConfig;
  readonly hub = new EventHub();
  readonly #store: Store;
  readonly #vms: Vms;
  readonly #peers: ReadonlyMap<string, Peer>;
  readonly #sources = new Map<string, SourceRun>();
  readonly #targets = new Map<string, TargetRun>();
  readonly #facts: Facts;
  readonly #cpu = new CpuMeter();
  readonly #links: LinkBook;
  readonly #guests: GuestBook;
  /** What every run is handed. */
  readonly #shared: TargetDeps;

  constructor(config: AgentConfig, store: Store, log: Log, standby?: Standby) {
    this.config = config;
    this.#store = store;
    this.#vms = new Vms(config, store, this.hub);
    this.#shared = { config, store, hub: this.hub, vms: this.#vms, log, standby };
    this.#facts = new Facts(config);
    this.#peers = new Map(config.peers.map((peer) => [peer.name, new Peer(peer, config.tlsDir)]));
    const migrates = (): boolean => this.#migrates();
    this.#links = new LinkBook({ peers: this.#peers, idle: () => this.#cpu.idle(), migrates });
    this.#guests = new GuestBook({ guests: () => this.#vms.guests(), migrates });
  }

  /** What migrations would have to ask or measure first is asked and measured when nobody waits for it. */
  getReady(): void {
    this.#facts.read().catch(() => {}); // whoever needs it is told why
    if (this.config.measureLinks) this.#links.open();
    if (this.config.measureGuests) this.#guests.open();
  }

  /** Finds QEMUs and unfinished migrations again. */
  async resume(): Promise<void> {
    await this.#vms.adoptAll();
    for (const record of this.#store.recent()) {
      if (record.side === "target") {
        const run = this.#targetRun(record);
        if (!run.final) await run.resume(this.#vms.qemu(record.vm));
        continue;
      }
      const peer = this.#peers.get(record.peer);
      if (peer === undefined) continue;
      const run = this.#sourceRun(record, peer);
      if (!run.finished || record.voidOwed) await run.resume(this.#vms.qemu(record.vm));
    }
    await this.#cleanup();
  }

  close(): void {
    this.#cpu.close();
    this.#links.close();
    this.#guests.close();
    for (const run of this.#sources.values()) run.detach();
    for (const peer of this.#peers.values()) peer.close();
    this.#store.close();
  }

  /** Of this host. */
  vms(): VmView[] {
    return this.#vms.list();
  }

  readonly local: Handlers<Local> = {
    host: async () => ({
      facts: await this.#facts.read(),
      peers: await peerViews(this.config.peers, (name) => this.#peer(name)),
    }),
    vms: async ({ query, goesOn }) =>
      pageOfVms(query.scope === "all" ? await this.#allVms() : this.#vms.list(), query, goesOn),
    run: async ({ body }) => this.#run(body),
    vm: ({ params }) => this.#vm(params.name),
    stop: async ({ params }) => this.#stop(params.name),
    pause: async ({ params, body }) => this.#pause(params.name, body.ms),
    check: async ({ params, body }) => (await this.#check(params.name, body)).report,
    migrate: async ({ params, body }) => this.#migrate(params.name, body),
    migration: ({ params }) => this.view(this.#known(params.id)),
    report: ({ params }) => this.#report(params.id),
    observe: ({ params, body }) => this.#observe(params.id, body),
    cancel: ({ params }) => this.#source(params.id).cancel(),
    recover: ({ params }) => this.#source(params.id, "NOTHING_TO_RECOVER").recover(),
    cleanup: async () => this.#cleanup(),
  };

  readonly forPeers: Handlers<PeerTable> = {
    peerHost: async (asked) => (this.#trusted(asked.peer), this.#facts.read()),
    peerCheck: async ({ peer, body }) => {
      this.#trusted(peer);
      await this.#swept(body.machine.metadata.name);
      const vmNames = this.#vms.list().map((vm) => vm.name);
      const state = this.#hostState();
      return { facts: await this.#facts.read(), vmNames, missing: await missingHere(body.machine), state };
    },
    peerLink: ({ peer, body: { bytes } }) => {
      this.#trusted(peer);
      return { bytes, ...this.#hostState() };
    },
    peerVms: (asked) => (this.#trusted(asked.peer), this.#vms.list()),
    prepare: (asked) => this.#prepare(asked),
    listen: async (asked) => {
      const run = this.#target(asked);
      const { wire, technique } = asked.body;
      return { ...(await run.listen(wire, technique)), view: run.view() };
    },
    target: (asked) => this.#target(asked).freshView(),
    handOver: async (asked) => this.#target(asked).handOver(),
    voidTarget: (asked) => this.#target(asked).void(`the source ${asked.peer} gave the migration up`),
    digest: async (asked) => ({ sha256: await this.#target(asked).digest() }),
    recoverTarget: async (asked) => {
      const run = this.#target(asked);
      return { ...(await run.recover()), view: run.view() };
    },
  };

  #hostState(): HostState {
    return { ...this.#cpu.idle(), relayWaits: this.#shared.standby?.waits ?? false };
  }

  async #allVms(): Promise<VmView[]> {
    const others = await Promise.all([...this.#peers.values()].map(vmsOf));
    return ownersOnly([...this.#vms.list(), ...others.flat()]);
  }

  #vm(name: string): VmView {
    const vm = this.#vms.find(name);
    if (vm === undefined) throw new CodedError("VM_UNKNOWN", { vm: name, where: `host ${this.config.name}` });
    return vm;
  }

  async #run(machine: MachineSpec): Promise<VmView> {
    const { qemu } = await this.#facts.read();
    const lacks = await lacksOf(machine);
    const file = machine.metadata.name;
    if (lacks.length > 0)
      throw new CodedError("SPEC_INVALID", { file, problem: `this host has no ${lacks.join(", ")}.` });
    const started = await this.#vms.start({
      machine,
      accelerator: chooseAccelerator(machine, qemu),
      owner: this.config.name,
    });
    await started.qmp.execute("query-status", {});
    return this.#vm(machine.metadata.name);
  }

  async #stop(name: string): Promise<VmView> {
    const vm = this.#vm(name);
    if (vm.migration !== null && !(await this.#stoppable(vm.migration)))
      throw new CodedError("VM_BUSY", { vm: name, migration: vm.migration });
    await this.#vms.remove(name);
    return { ...vm, state: "stopped", pid: null };
  }

  async #pause(name: string, ms: number): Promise<{ pausedAtNs: string; resumedAtNs: string }> {
    const vm = this.#vm(name);
    const qemu = this.#vms.qemu(name);
    if (vm.migration !== null) throw new CodedError("VM_BUSY", { vm: name, migration: vm.migration });
    if (qemu === undefined)
      throw new CodedError("VM_UNKNOWN", { vm: name, where: `host ${this.config.name} as a running VM` });
    return pauseFor(qemu.qmp, ms);
  }

  /** A VM whose migration can only be decided by a person may be given up by one. */
  async #stoppable(migration: string): Promise<boolean> {
    const source = this.#sources.get(migration);
    if (source !== undefined) return source.finished;
    const target = this.#targets.get(migration);
    if (target === undefined || target.final) return true;
    return target.mayRun && ((await target.waitsForPages()) || (await this.#sourceGone(target.record)));
  }

  /** No page can come of a QEMU that is gone, also where the one here has not noticed (decision 0002). */
  async #sourceGone({ peer, vm }: MigrationRecord): Promise<boolean> {
    const vms = await this.#peers
      .get(peer)
      ?.call(peerRoutes.peerVms)
      .catch(() => undefined);
    return vms?.every((each) => each.name !== vm || each.pid === null) ?? false;
  }

  // ---- migrations, source side

  async #check(
    name: string,
    request: MigrateRequest,
  ): Promise<{ report: CheckReport; peer: Peer; facts: BothFacts }> {
    const vm = this.#vm(name);
    if (vm.owner !== this.config.name) throw new CodedError("VM_ELSEWHERE", { vm: name, host: vm.owner });
    if (request.target === this.config.name) throw new CodedError("SAME_HOST", { host: request.target });
    if (vm.migration !== null) throw new CodedError("VM_BUSY", { vm: name, migration: vm.migration });
    const settings = copied(request);
    const against = contradictions(settings);
    if (against.length > 0) throw new CodedError("USAGE", { problem: against.join(" ") });
    const peer = this.#peer(request.target);
    const { machine, accelerator } = this.#vms.changed(name, {});
    const vmNow = { machine, accelerator, qemu: this.#vms.qemu(name) };
    const { found, ...facts } = await preflight(vmNow, this.#facts.read(), peer, settings);
    const report: CheckReport = {
      vm: name,
      source: this.config.name,
      target: request.target,
      ok: found.every((each) => each.severity !== "blocker"),
      findings: found,
    };
    return { report, peer, facts };
  }

  async #migrate(name: string, request: MigrateRequest): Promise<MigrationView> {
    const t0Ns = nowNs();
    const checking = this.#check(name, request);
    // Beside the target's check: a look takes some ms.
    const looks = request.technique === "auto" ? await this.#looksAt(name, checking) : undefined;
    const { report, peer, facts } = await checking;
    const vm = this.#vms.changed(name, {});
    // Asked again without a wait in between: two requests at once must not both pass, nor the second be told of the first's copy.
    if (vm.migration !== null) throw new CodedError("VM_BUSY", { vm: name, migration: vm.migration });
    if (!report.ok) {
      const bad = report.findings.filter((each) => each.severity === "blocker");
      throw new CodedError("CHECK_FAILED", {
        count: bad.length,
        problems: bad.map((each) => `${each.what} ${each.next}`).join(" "),
        findings: bad,
      });
    }
    const qemu = this.#vms.qemu(name);
    if (qemu === undefined)
      throw new CodedError("VM_UNKNOWN", { vm: name, where: `host ${this.config.name} as a running VM` });
    const record = sourceRecord({ request, vm, facts, t0Ns });
    const run = this.#sourceRun(record, peer);
    try {
      run.start(qemu, looks);
    } catch (error) {
      this.#sources.delete(record.id);
      throw error;
    }
    return run.view();
  }

  async #looksAt(name: string, checking: Promise<unknown>): Promise<Looks | undefined> {
    checking.catch(() => {}); // told to whoever asked
    await setImmediate();
    const pid = this.#vms.qemu(name)?.handle.pid;
    return pid === undefined ? undefined : this.#guests.looksAt(guestOf(this.#vms.changed(name, {}), pid));
  }

  #sourceRun(record: Extract<MigrationRecord, { side: "source" }>, peer: Peer): SourceRun {
    const [cpu, links, guests] = [this.#cpu, this.#links, this.#guests];
    const run = new SourceRun({ ...this.#shared, peer, cpu, links, guests }, record);
    this.#sources.set(record.id, run);
    return run;
  }

  #migrates(): boolean {
    const targets = [...this.#targets.values()].some(({ final }) => !final);
    return targets || [...this.#sources.values()].some(({ finished }) => !finished);
  }

  #source(id: string, ended: "TOO_LATE" | "NOTHING_TO_RECOVER" = "TOO_LATE"): SourceRun {
    const run = this.#sources.get(id);
    if (run === undefined) {
      const record = this.#known(id);
      throw record.side === "target"
        ? new CodedError("VM_ELSEWHERE", { vm: record.vm, host: record.peer })
        : new CodedError(ended, { migration: id, phase: record.state.phase });
    }
    if (run.finished && run.state.phase !== "needs-person")
      throw new CodedError(ended, { migration: id, phase: run.state.phase });
    return run;
  }

  #known(id: string): MigrationRecord {
    const record = this.#store.migration(id);
    if (record === undefined) throw new CodedError("MIGRATION_UNKNOWN", { migration: id });
    return record;
  }

  view(record: MigrationRecord): MigrationView {
    if (record.side === "target")
      return targetMigrationView(this.#targets.get(record.id)?.record ?? record, this.config.name);
    // A past one is not held in memory.
    return this.#sources.get(record.id)?.view() ?? sourceMigrationView(record, this.config.name, true);
  }

  #report(id: string): Report {
    const record = this.#known(id);
    const document = this.#store.report(id);
    if (document !== undefined) return document;
    if (record.side === "target") throw new CodedError("VM_ELSEWHERE", { vm: record.vm, host: record.peer });
    throw new CodedError("NOT_FOUND", { path: `a report of ${id}: it has not ended` });
  }

  #observe(id: string, observation: Observation): Report {
    const document = withObservation(this.#report(id), observation);
    this.#store.putReport(id, document);
    return document;
  }

  #prepare({ body, peer, traceparent }: Asked<PeerTable["prepare"]>): ReturnType<TargetRun["view"]> {
    this.#trusted(peer);
    const request: PrepareRequest = body;
    if (request.source !== peer)
      throw new CodedError("PEER_UNTRUSTED", { why: `${peer} speaks for ${request.source}` });
    if (this.#store.migration(request.id) !== undefined)
      throw new CodedError("VM_BUSY", { vm: request.machine.metadata.name, migration: request.id });
    const name = request.machine.metadata.name;
    if (this.#vms.find(name) !== undefined)
      throw new CodedError("VM_EXISTS", { host: this.config.name, vm: name });
    const record = targetRecord(request, traceparent);
    const run = this.#targetRun(record);
    const { machine, accelerator } = request;
    run.prepare(() => this.#vms.start({ machine, accelerator, owner: peer, migration: request.id }));
    return run.view();
  }

  /** A copy given up a moment ago holds its name until its QEMU is gone. */
  async #swept(name: string): Promise<void> {
    for (const run of this.#targets.values()) if (run.final && run.record.vm === name) await run.removed;
  }

  #targetRun(record: Extract<MigrationRecord, { side: "target" }>): TargetRun {
    const run = new TargetRun(this.#shared, record);
    this.#targets.set(record.id, run);
    return run;
  }

  #target({ params, peer }: { readonly params: { readonly id: string }; readonly peer: string }): TargetRun {
    this.#trusted(peer);
    const run = this.#targets.get(params.id);
    // A migration's source is the only one to be answered about it.
    if (run === undefined || run.record.peer !== peer)
      throw new CodedError("MIGRATION_UNKNOWN", { migration: params.id });
    return run;
  }

  #peer(name: string): Peer {
    const peer = this.#peers.get(name);
    if (peer === undefined) {
      const known = [this.config.name, ...this.#peers.keys()].join(", ");
      throw new CodedError("HOST_UNKNOWN", { host: name, known });
    }
    return peer;
  }

  #trusted(peer: string): void {
    if (!this.#peers.has(peer))
      throw new CodedError("PEER_UNTRUSTED", {
        why: `${peer || "a client without a name"} is not among this host's peers`,
      });
  }

  #cleanup(): Promise<{ removed: string[]; kept: string[] }> {
    const { config } = this;
    return cleanUp({ config, vms: this.#vms, sources: this.#sources, targets: this.#targets });
  }
}
