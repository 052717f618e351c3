/** The VMs of this host: their records in the store and their QEMUs in memory. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import type { VmView } from "../api/host.ts";
import { type MachineSpec, memoryBytes } from "../api/machine.ts";
import { adoptQemu, findHandle, startQemu } from "../qemu/process.ts";
import type { QemuFacts, QemuProcess } from "../qemu/types.ts";
import { CodedError } from "../std/errors.ts";
import { makeBootStore } from "./boot-stores.ts";
import type { AgentConfig } from "./config.ts";
import type { EventHub } from "./events.ts";
import { type Guest, guestOf } from "./guest-book.ts";
import type { Store, VmRecord } from "./store.ts";

interface Entry {
  record: VmRecord;
  qemu: QemuProcess | undefined;
  state: VmView["state"];
  /** A QEMU that ended by itself leaves its taps; settled when they are gone. */
  swept?: Promise<void> | undefined;
}

export interface StartVm {
  readonly machine: MachineSpec;
  readonly accelerator: "kvm" | "tcg";
  readonly owner: string;
  /** Set for the receiving side of a migration: QEMU then waits, and never runs by itself. */
  readonly migration?: string;
}

export class Vms {
  readonly #config: AgentConfig;
  readonly #store: Store;
  readonly #hub: EventHub;
  readonly #entries = new Map<string, Entry>();

  constructor(config: AgentConfig, store: Store, hub: EventHub) {
    this.#config = config;
    this.#store = store;
    this.#hub = hub;
  }

  /** Finds the QEMUs of all recorded VMs again after a restart. */
  async adoptAll(): Promise<void> {
    for (const record of this.#store.vms()) {
      // The agent may have died between starting a QEMU and recording it; the QEMU's folder knows it by then.
      const handle =
        record.handle ?? (await findHandle(this.dir(record.name, record.migration ?? undefined)));
      const qemu = handle === undefined ? undefined : await adoptQemu(handle);
      const entry: Entry = { record: { ...record, handle: handle ?? null }, qemu, state: "lost" };
      this.#entries.set(record.name, entry);
      if (qemu !== undefined) await this.#watch(entry, qemu);
    }
  }

  list(): VmView[] {
    return [...this.#entries.values()].map((entry) => this.#view(entry));
  }

  find(name: string): VmView | undefined {
    const entry = this.#entries.get(name);
    return entry && this.#view(entry);
  }

  record(name: string): VmRecord | undefined {
    return this.#entries.get(name)?.record;
  }

  qemu(name: string): QemuProcess | undefined {
    return this.#entries.get(name)?.qemu;
  }

  /** Those that run here. */
  guests(): Guest[] {
    return [...this.#entries.values()].flatMap(({ qemu, state, record }) =>
      qemu === undefined || state !== "running" ? [] : [guestOf(record, qemu.handle.pid)],
    );
  }

  /** Where a VM's QEMU lives; a migration gets a folder of its own, so that old files never meet new ones. */
  dir(name: string, migration?: string): string {
    return join(
      this.#config.stateDir,
      "vms",
      migration === undefined ? name : `${name}.${migration.slice(-6)}`,
    );
  }

  async start(options: StartVm): Promise<QemuProcess> {
    const name = options.machine.metadata.name;
    const there = this.#entries.get(name);
    if (there !== undefined) throw new CodedError("VM_EXISTS", { host: this.#config.name, vm: name });
    const record: VmRecord = {
      name,
      machine: options.machine,
      accelerator: options.accelerator,
      owner: options.owner,
      handle: null,
      migration: options.migration ?? null,
    };
    const entry: Entry = {
      record,
      qemu: undefined,
      state: options.migration === undefined ? "stopped" : "incoming",
    };
    this.#entries.set(name, entry);
    const dir = this.dir(name, options.migration);
    let qemu: QemuProcess | undefined;
    try {
      this.#store.putVm(record);
      mkdirSync(dir, { recursive: true, mode: 0o700 });
      qemu = await startQemu({
        binary: this.#config.qemu,
        machine: options.machine,
        accelerator: options.accelerator,
        dir,
        incoming: options.migration !== undefined,
        forwardAddress: this.#config.forwardAddress,
      });
      // Written beside the sockets too, so that a clean-up without the store still finds the process.
      writeFileSync(join(dir, "qemu.json"), JSON.stringify(qemu.handle));
      this.update(name, { handle: qemu.handle });
      await this.#watch(entry, qemu);
      makeBootStore(this.#config, options.machine);
      return qemu;
    } catch (error) {
      // Started, but no longer wanted or not recorded: nobody would ever end it.
      await qemu?.kill();
      if (this.#entries.get(name) === entry) this.#entries.delete(name);
      try {
        this.#store.dropVm(name);
      } catch {
        // A full disk brought us here; the record without a handle is dropped at the next start.
      }
      rmSync(dir, { recursive: true, force: true });
      throw error;
    }
  }

  /** Changes a record in the store and in memory. */
  update(name: string, change: Partial<VmRecord>): VmRecord {
    const record = this.changed(name, change);
    this.#store.putVm(record);
    this.applied(record);
    return record;
  }

  /** The record as it would be: for a caller that commits it together with a journal entry, then calls `applied`. */
  changed(name: string, change: Partial<VmRecord>): VmRecord {
    const entry = this.#entries.get(name);
    if (entry === undefined) throw new CodedError("VM_UNKNOWN", { vm: name, where: this.#config.name });
    return { ...entry.record, ...change };
  }

  applied(record: VmRecord): void {
    const entry = this.#entries.get(record.name);
    if (entry === undefined) return;
    entry.record = record;
    this.publish(record.name);
  }

  setState(name: string, state: VmView["state"]): void {
    const entry = this.#entries.get(name);
    if (entry === undefined || entry.state === state) return;
    entry.state = state;
    this.publish(name);
  }

  publish(name: string): void {
    const entry = this.#entries.get(name);
    if (entry !== undefined) this.#hub.publish({ type: "vm", vm: this.#view(entry) });
  }

  /** Ends a VM's QEMU and forgets the VM. Safe to repeat. */
  async remove(name: string): Promise<void> {
    const entry = this.#entries.get(name);
    if (entry === undefined) return;
    entry.swept ??= entry.qemu?.kill();
    await entry.swept;
    this.#store.dropVm(name);
    this.#entries.delete(name);
    const dir = entry.record.handle?.dir ?? this.dir(name, entry.record.migration ?? undefined);
    rmSync(dir, { recursive: true, force: true });
    this.#hub.publish({ type: "vm-gone", name });
  }

  async #watch(entry: Entry, qemu: QemuProcess): Promise<void> {
    const name = entry.record.name;
    entry.qemu = qemu;
    const stream = qemu.qmp.events(["STOP", "RESUME"]);
    void (async () => {
      for await (const { event } of stream) {
        if (event === "RESUME") this.setState(name, "running");
        else if (entry.state === "running") this.setState(name, "paused");
      }
    })();
    void (async () => {
      await qemu.exited;
      stream.close();
      if (this.#entries.get(name) !== entry) return;
      entry.qemu = undefined;
      const isEnded = entry.record.migration === null || entry.swept !== undefined;
      entry.swept ??= qemu.kill();
      entry.swept.catch(() => {}); // whoever removes the VM hears of it
      this.setState(name, isEnded ? "stopped" : "lost");
    })();
    const { running } = await qemu.qmp.execute("query-status", {});
    const waiting = entry.record.owner === this.#config.name ? "paused" : "incoming";
    this.setState(name, running ? "running" : waiting);
    this.publish(name);
  }

  #view(entry: Entry): VmView {
    const { record } = entry;
    return {
      name: record.name,
      host: this.#config.name,
      state: record.migration !== null && entry.state === "running" ? "migrating" : entry.state,
      owner: record.owner,
      memoryBytes: memoryBytes(record.machine),
      vcpus: record.machine.spec.vcpus,
      accelerator: record.accelerator,
      pid: entry.qemu?.handle.pid ?? null,
      migration: record.migration,
      machine: record.machine,
      consoleSocket: record.handle === null ? "" : join(record.handle.dir, "console.sock"),
    };
  }
}

/** The accelerator a spec gets on a host with these facts. */
export const chooseAccelerator = (machine: MachineSpec, facts: QemuFacts): "kvm" | "tcg" =>
  machine.spec.accelerator === "auto"
    ? facts.accelerators.includes("kvm")
      ? "kvm"
      : "tcg"
    : machine.spec.accelerator;
