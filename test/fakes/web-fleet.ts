/** A made-up fleet, the same for the same size: hosts, VMs and past migrations as the schemas have them. */
import { vmView, type HostFacts, type PeerView, type VmView } from "../../src/api/host.ts";
import {
  migrationView,
  TECHNIQUES,
  type MigrationView,
  type Outcome,
  type Progress,
} from "../../src/api/migration.ts";
import { facts, machine } from "./fixtures.ts";
import { chance, courseOf, type CourseSettings } from "./web-course.ts";

const GIB = 2 ** 30;
const MIB = 2 ** 20;
const DAY_MS = 86_400_000;
/** Pictures taken twice are the same. */
export const NOW = Date.parse("2026-03-02T09:00:00Z");

export interface FleetSize {
  readonly hosts: number;
  readonly vms: number;
  readonly migrations: number;
}

const ROLES = ["db", "web", "cache", "queue", "build", "mail", "auth", "search", "files", "metrics"];
const hostName = (index: number): string =>
  `rack${1 + Math.floor(index / 6)}-${String.fromCodePoint(97 + (index % 6))}`;

export class Fleet {
  readonly facts: HostFacts;
  readonly peers: readonly PeerView[];
  readonly vms: readonly VmView[];
  readonly history: readonly MigrationView[];
  readonly #seeds = new Map<string, number>();

  constructor(size: FleetSize) {
    const names = Array.from({ length: size.hosts }, (_, index) => hostName(index));
    this.facts = {
      ...facts,
      name: names[0] ?? "a",
      memory: { totalBytes: 256 * GIB, availableBytes: 91 * GIB },
      vcpus: 64,
      qemu: { ...facts.qemu, version: "9.2.1", accelerators: ["kvm", "tcg"] },
    };
    this.peers = names.slice(1).map((name, index) => ({
      name,
      address: `10.20.0.${index + 11}:7465`,
      reachable: index !== 4,
      detail: index === 4 ? "no answer within 2 s" : "",
    }));
    this.vms = Array.from({ length: size.vms }, (_, index) => this.#vm(index, names));
    this.history = Array.from({ length: size.migrations }, (_, index) => this.#past(index, names));
  }

  course(id: string): readonly Progress[] {
    return courseOf(this.settings(id), this.#seeds.get(id) ?? 1);
  }

  settings(id: string): CourseSettings {
    const random = chance(this.#seeds.get(id) ?? 1);
    return {
      ramBytes: (1 + Math.floor(random() * 4)) * GIB,
      linkBytesPerSecond: 117 * MIB,
      dirtyBytesPerSecond: (8 + 60 * random()) * MIB,
      gain: random() < 0.3 ? 1 : 1.6 + 2 * random(),
      technique: "pre-copy",
    };
  }

  #vm(index: number, hosts: readonly string[]): VmView {
    const random = chance(index + 7);
    const host = hosts[index % hosts.length] ?? "a";
    const name = `${ROLES[index % ROLES.length]}-${1 + Math.floor(index / ROLES.length)}`;
    const luck = random();
    const memory = [1, 2, 4, 8, 16][Math.floor(random() * 5)] ?? 1;
    return vmView.parse({
      name,
      host,
      state: luck < 0.9 ? "running" : luck < 0.95 ? "paused" : luck < 0.985 ? "stopped" : "lost",
      owner: host,
      memoryBytes: memory * GIB,
      vcpus: [1, 2, 4, 8][Math.floor(random() * 4)],
      accelerator: "kvm",
      pid: 2000 + index,
      migration: null,
      machine: { ...machine, metadata: { name, labels: { role: ROLES[index % ROLES.length] ?? "" } } },
      consoleSocket: `/run/godwit/vms/${name}/console.sock`,
    });
  }

  #past(index: number, hosts: readonly string[]): MigrationView {
    const random = chance(index + 99);
    const id = `m-${(index + 4096).toString(36)}${Math.floor(random() * 46_656)
      .toString(36)
      .padStart(3, "0")}`;
    this.#seeds.set(id, index + 1);
    const luck = random();
    const outcome: Outcome =
      luck < 0.9
        ? "done"
        : luck < 0.94
          ? "cancelled"
          : luck < 0.97
            ? "failed"
            : luck < 0.99
              ? "timed-out"
              : "needs-person";
    const source = hosts[Math.floor(random() * hosts.length)] ?? "a";
    const target =
      hosts[(hosts.indexOf(source) + 1 + Math.floor(random() * (hosts.length - 1))) % hosts.length] ?? "b";
    const vm = `${ROLES[index % ROLES.length]}-${1 + Math.floor(random() * 50)}`;
    const ends: Record<Outcome, Partial<MigrationView>> = {
      done: { phase: "done", reason: `${vm} runs on ${target}` },
      cancelled: { phase: "aborted", code: "CANCELLED", reason: "it was cancelled" },
      failed: { phase: "aborted", code: "PEER_UNREACHABLE", reason: `${target} could not be reached` },
      "timed-out": { phase: "aborted", code: "TIMED_OUT", reason: "10 minutes were over" },
      "needs-person": {
        phase: "needs-person",
        code: "NEEDS_PERSON",
        reason: "the link broke while fetching",
      },
    };
    return migrationView.parse({
      id,
      vm,
      source,
      target,
      technique: TECHNIQUES[random() < 0.7 ? 1 : Math.floor(random() * 4)],
      side: source === hosts[0] ? "source" : "target",
      path: random() < 0.7 ? "relay" : "direct",
      outcome,
      ...(outcome === "done"
        ? { figures: { totalMs: 3000 + 60_000 * random() ** 2, pauseMs: 20 + 260 * random() } }
        : { figures: { totalMs: null, pauseMs: null } }),
      startedAt: new Date(NOW - (index + random()) * ((180 * DAY_MS) / 10_000)).toISOString(),
      ...ends[outcome],
    });
  }
}
