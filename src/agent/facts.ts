/** What this host can say of itself for a pre-flight check: QEMU, memory, room on the disk, whether post-copy can arrive. */
import { readFileSync, statfsSync } from "node:fs";
import { freemem, totalmem } from "node:os";

import type { HostFacts, PeerView, VmView } from "../api/host.ts";
import { peerRoutes } from "../api/peer-routes.ts";
import { postCopyBlocker, probeQemu } from "../qemu/probe.ts";
import type { QemuFacts } from "../qemu/types.ts";
import { toCodedError } from "../std/errors.ts";
import { bootId, nowMs } from "./clock.ts";
import type { AgentConfig } from "./config.ts";
import type { Peer, PeerAddress } from "./peers.ts";
import type { Origin } from "./store.ts";

const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
  version: string;
};
const BLOCKER_FRESH_MS = 600_000;
/** Asked again when a migration that has just begun no longer waits for a processor. */
const BLOCKER_AGAIN_MS = 5_000;
/** Whether QEMU may catch a guest's page faults: all of what an administrator may change about it. */
const USERFAULTFD_FILE = "/proc/sys/vm/unprivileged_userfaultfd";
const PEER_TIMEOUT_MS = 3_000;

export class Facts {
  readonly #config: AgentConfig;
  #qemu: Promise<QemuFacts> | undefined;
  #blocker: Blocker | undefined;

  constructor(config: AgentConfig) {
    this.#config = config;
  }

  async read(): Promise<HostFacts> {
    const asked = (this.#qemu ??= probeQemu(this.#config.qemu));
    asked.catch(() => (this.#qemu = undefined)); // ask again once it is installed
    const qemu = await asked;
    const disk = statfsSync(this.#config.stateDir);
    return {
      name: this.#config.name,
      godwit: version,
      bootId,
      qemu,
      memory: { totalBytes: totalmem(), availableBytes: availableBytes() },
      vcpus: navigator.hardwareConcurrency,
      postCopyBlocker: await this.#postCopyBlocker(),
      stateDiskFreeBytes: disk.bavail * disk.bsize,
    };
  }

  /** Asked of a QEMU started for it (some 100 ms), so not while a migration waits, unless the host has changed. */
  #postCopyBlocker(): Promise<string> {
    const sysctl = textOf(USERFAULTFD_FILE);
    const known = this.#blocker;
    if (known === undefined || known.sysctl !== sysctl) return this.#askBlocker(sysctl);
    if (nowMs() - known.atMs > BLOCKER_FRESH_MS && !known.asksAgain) {
      known.asksAgain = true;
      setTimeout(() => void this.#askBlocker(sysctl).catch(() => {}), BLOCKER_AGAIN_MS).unref();
    }
    return known.text;
  }

  #askBlocker(sysctl: string): Promise<string> {
    const text = postCopyBlocker(this.#config.qemu);
    this.#blocker = { sysctl, atMs: nowMs(), text, asksAgain: false };
    // What could not be asked is asked again, not remembered.
    text.catch(() => (this.#blocker = undefined));
    return text;
  }
}

interface Blocker {
  readonly sysctl: string;
  readonly atMs: number;
  readonly text: Promise<string>;
  asksAgain: boolean;
}

function textOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return ""; // this kernel has none
  }
}

/** What the choices of technique and way need of both hosts. */
export function commonTo(
  source: HostFacts,
  target: HostFacts,
): Pick<Origin, "capabilities" | "compressions" | "freeBytes" | "oneMachine" | "postCopyBlocker"> {
  const both = (here: readonly string[] = [], there: readonly string[] = []): string[] =>
    here.filter((name) => there.includes(name));
  return {
    capabilities: both(source.qemu.capabilities, target.qemu.capabilities),
    compressions: both(source.qemu.compressions, target.qemu.compressions),
    oneMachine: source.bootId === target.bootId,
    postCopyBlocker: target.postCopyBlocker,
    freeBytes: Math.min(source.memory.availableBytes, target.memory.availableBytes),
  };
}

/** MemAvailable: what a new guest can have without pushing others out. */
function availableBytes(): number {
  const match = /^MemAvailable:\s+(\d+) kB$/m.exec(readFileSync("/proc/meminfo", "utf8"));
  return match?.[1] === undefined ? freemem() : Number(match[1]) * 1024;
}

/** Whether a peer answers, and what it is. */
async function peerView(peer: Peer, { name, address, port }: PeerAddress): Promise<PeerView> {
  const shown = { name, address: `${address}:${port}` };
  try {
    const facts = await peer.call(peerRoutes.peerHost, { timeoutMs: PEER_TIMEOUT_MS });
    return { ...shown, reachable: true, detail: `QEMU ${facts.qemu.version}` };
  } catch (error) {
    return { ...shown, reachable: false, detail: toCodedError(error).message };
  }
}

/** A peer's VMs; none from one that does not answer. */
export const vmsOf = (peer: Peer): Promise<VmView[]> =>
  peer.call(peerRoutes.peerVms, { timeoutMs: PEER_TIMEOUT_MS }).catch(() => []);

/** Both sides of a running migration know the VM; its owner's word is the one to show. */
export const ownersOnly = (all: readonly VmView[]): VmView[] =>
  all.filter(
    (vm) =>
      vm.owner === vm.host || !all.some((other) => other.name === vm.name && other.owner === other.host),
  );

export const peerViews = (peers: readonly PeerAddress[], of: (name: string) => Peer): Promise<PeerView[]> =>
  Promise.all(peers.map((address) => peerView(of(address.name), address)));
