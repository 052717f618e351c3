/**
 * The real thing behind a campaign: a lab of two hosts over one link, one guest at a time. Measures beside the agents
 * what no report has; proves the guest after each move, outside the pause that is measured. Decides nothing.
 */
import { setTimeout as sleep } from "node:timers/promises";

import { connectAgent } from "../../api/client.ts";
import type { Observation, Report } from "../../api/report.ts";
import { filesSum } from "../../lab/guest/files-sum.ts";
import { type GuestRequest, runGuest } from "../../lab/guests.ts";
import { forgetKept, haveKept, relaysEnded } from "../../lab/kept-stores.ts";
import { type LabState, labDown, labUp, loadLab } from "../../lab/lab.ts";
import { agentCpuSeconds, bytesBetween, type LinkReading, watchLink } from "../../lab/observe/link-watch.ts";
import { CodedError } from "../../std/errors.ts";
import { calm } from "../calm.ts";
import { HOSTS, VM, endGuest, move, placeOf, spanOf, startGuest, withObservers } from "../moves.ts";
import type { WireArm } from "./arms.ts";
import type { Contents } from "./contents.ts";
import type { Beside, WireRun } from "./document.ts";
import type { Link } from "./links.ts";

export interface Moved {
  readonly report: Report;
  readonly beside: Beside;
}

/** What a campaign acts on; a test puts something smaller in its place. */
export interface Stage {
  /** Two hosts and the link between them. @returns how it is shaped. */
  up(link: Link): Promise<WireRun["shaping"]>;
  /** A fresh guest with these contents, settled. */
  guest(contents: Contents, signal: AbortSignal): Promise<void>;
  /** Moves the guest to the other host and has it prove itself. @throws when the move was refused or the guest lost. */
  move(arm: WireArm, proof: boolean, signal: AbortSignal): Promise<Moved>;
  endGuest(): Promise<void>;
  down(): Promise<void>;
}

export interface StageTimes {
  /** Undisturbed service before each move. */
  readonly settleMs: number;
  /** Watched on after each move. */
  readonly tailMs: number;
}

/** All the files of a small root file system, under emulation. */
const FILES_SUM_TIMEOUT_MS = 60_000;
/** One clean second before a move: disruption is not what this campaign measures. */
const BASELINE_MS = 1000;

const SIBLING = "sibling";
/** The guest's own is 1: a writer's pages are drawn from it. */
const SIBLING_SEED = 2;

function requestOf({
  workload,
  memory,
  params,
  writesPerSecond,
}: Contents): Omit<GuestRequest, "name" | "host"> {
  return { workload, memory, params, ...(writesPerSecond === undefined ? {} : { writesPerSecond }) };
}

/** Of the same kind, with data of its own: a writer's are drawn from another seed, Redis's values hold their time. */
function siblingOf(contents: Contents): Omit<GuestRequest, "name" | "host"> {
  const seed = contents.workload === "writer" ? { seed: SIBLING_SEED } : {};
  return requestOf({ ...contents, params: { ...contents.params, ...seed } });
}

export class LabStage implements Stage {
  readonly #name: string;
  readonly #times: StageTimes;
  #lab: LabState | null = null;
  #contents: Contents | null = null;
  #sum: string | null = null;

  /** A lab of its own: two campaigns at once must not take each other's down. */
  constructor(times: StageTimes, name: string = `wire-${process.pid}`) {
    this.#times = times;
    this.#name = name;
  }

  async up(link: Link): Promise<WireRun["shaping"]> {
    const rate = link.bytesPerSecond ?? undefined;
    this.#lab = await labUp({ name: this.#name, hosts: [...HOSTS], linkBytesPerSecond: rate });
    const { shaped, rateBytesPerSecond, delayMs, note } = this.#lab.link;
    return { shaped, rate_bytes_per_second: rateBytesPerSecond, delay_ms: delayMs, note };
  }

  async guest(contents: Contents, signal: AbortSignal): Promise<void> {
    await startGuest(this.#up(), requestOf(contents));
    this.#contents = contents;
    this.#sum = contents.workload === "idle" ? await this.#filesSum() : null;
    await sleep(this.#times.settleMs, undefined, { signal });
  }

  async move(arm: WireArm, proof: boolean, signal: AbortSignal): Promise<Moved> {
    const lab = this.#up();
    // Whatever moved before: an arm begins with nothing known but what it says of itself.
    await forgetKept(lab, signal);
    await this.#moveBefore(lab, arm, signal);
    const place = await placeOf(lab);
    await sleep(this.#times.settleMs, undefined, { signal });
    await calm(signal);
    const link = watchLink(lab, place.host.name);
    const cpuBefore = agentCpuSeconds(lab);
    let report: Report;
    let readings: readonly LinkReading[] = [];
    let cpuAfter: number | null = null;
    try {
      report = await move(place, { ...arm.settings, verifyMemory: proof }, signal);
      cpuAfter = agentCpuSeconds(lab);
    } finally {
      readings = link.stop();
    }
    const figures = besideOf(report, readings);
    // Before the next relays get ready: they are not to hold what will be gone.
    await forgetKept(lab, signal);
    const agents = cpuBefore === null || cpuAfter === null ? null : cpuAfter - cpuBefore;
    const window = { tailMs: this.#times.tailMs, baselineMs: BASELINE_MS, signal };
    const seen = await withObservers(lab, place, report, window, (observation) =>
      this.#withFiles(observation),
    );
    return { report: seen, beside: { ...figures, agent_cpu_seconds: agents, proved: provedBy(seen) } };
  }

  /** Whatever an arm wants to have moved before it is measured. */
  async #moveBefore(lab: LabState, arm: WireArm, signal: AbortSignal): Promise<void> {
    switch (arm.before) {
      case "nobody":
        return;
      case "itself":
        return this.#moveThere(lab, VM, arm, signal);
      case "sibling":
        try {
          await this.#startSibling(lab);
          await this.#moveThere(lab, SIBLING, arm, signal);
        } finally {
          await endGuest(lab, SIBLING);
        }
    }
  }

  /** Beside the guest, so that it leaves ahead of it. */
  async #startSibling(lab: LabState): Promise<void> {
    const contents = this.#contents;
    if (contents === null) throw new CodedError("INTERNAL", { problem: "the bench has no guest" });
    const { host } = await placeOf(lab);
    await runGuest(lab, { ...siblingOf(contents), name: SIBLING, host: host.name });
  }

  async #moveThere(lab: LabState, vm: string, arm: WireArm, signal: AbortSignal): Promise<void> {
    const { outcome, reason } = await move(await placeOf(lab, vm), arm.settings, signal);
    await relaysEnded(lab, signal);
    if (outcome === "done" && haveKept(lab)) return;
    const problem = outcome === "done" ? "the relays kept nothing of it" : `${outcome}: ${reason}`;
    throw new CodedError("INTERNAL", { problem: `the move of ${vm} before the one measured: ${problem}` });
  }

  async endGuest(): Promise<void> {
    if (this.#lab !== null) await endGuest(this.#lab);
    this.#contents = null;
  }

  async down(): Promise<void> {
    this.#lab = null;
    await labDown(this.#name);
  }

  #up(): LabState {
    if (this.#lab === null) throw new CodedError("INTERNAL", { problem: "the bench has no lab" });
    return loadLab(this.#lab.name);
  }

  async #filesSum(): Promise<string> {
    const { host } = await placeOf(this.#up());
    const vms = await connectAgent(host.socket).vms({ query: { scope: "host" } });
    const vm = vms.find(({ name }) => name === VM);
    if (vm === undefined) throw new CodedError("VM_UNKNOWN", { vm: VM, where: host.name });
    return filesSum(vm.consoleSocket, FILES_SUM_TIMEOUT_MS);
  }

  /** A guest that only runs has nothing that checks itself; its files are asked instead. */
  async #withFiles(observation: Observation): Promise<Observation> {
    if (this.#contents?.workload !== "idle" || observation.correctness === undefined) return observation;
    const sum = await this.#filesSum();
    const ok = sum === this.#sum;
    const check = {
      what: FILES_CHECK,
      ok,
      detail: ok ? `SHA-256 ${sum}` : `${sum} is not ${this.#sum ?? "known"}`,
    };
    const { correctness } = observation;
    return {
      ...observation,
      correctness: {
        ...correctness,
        verdict: ok ? correctness.verdict : "failed",
        checks: [...correctness.checks, check],
      },
    };
  }
}

const FILES_CHECK = "the guest's files have the sum they had when it booted";

/** What of the guest's contents was checked and good. Ticks alone say that it runs, not that it holds what it held. */
export function provedBy({ correctness: { checks } }: Report): string[] {
  if (checks.some(({ ok }) => !ok)) return [];
  return checks.map(({ what }) => what).filter((what) => !what.includes("ticks"));
}

/** Times of rounds are from t0, on the clock of the readings: hosts of a lab are one machine. */
export function besideOf(
  report: Report,
  readings: readonly LinkReading[],
): Pick<Beside, "wire_bytes" | "bytes_after_first_round"> {
  const { t0Ns, t6Ns } = spanOf(report);
  const endMs = firstPassEndMs(report);
  const firstEndNs = endMs === null ? null : t0Ns + BigInt(Math.round(endMs * 1e6));
  return {
    wire_bytes: bytesBetween(readings, t0Ns, t6Ns),
    bytes_after_first_round: firstEndNs === null ? null : bytesBetween(readings, firstEndNs, t6Ns),
  };
}

/**
 * QEMU announces its first pass before it tells any counters, so a report's rounds may begin with the second one. Then
 * more bytes are in no round than in the first that is there: no pass sends more than the first.
 */
export function firstPassEndMs({ rounds, metrics, finished_by: finishedBy }: Report): number | null {
  const [first] = rounds;
  if (first === undefined || finishedBy === "post-copy" || finishedBy === "hybrid") return null;
  const inRounds = rounds.reduce((sum, { sentBytes }) => sum + sentBytes, 0);
  const missing = (metrics.bytes.qemu ?? inRounds) - inRounds;
  return missing > first.sentBytes ? first.startMs : first.startMs + first.durationMs;
}
