/**
 * A campaign over techniques: a lab of two hosts over one shaped link; for each workload one guest, moved back and
 * forth. Acts only; which runs, in which order, and what they come to is decided in the files beside this one.
 */
import { setTimeout as sleep } from "node:timers/promises";

import { connectAgent } from "../api/client.ts";
import { migrateRequest } from "../api/migration.ts";
import type { Report } from "../api/report.ts";
import { runGuest, stopGuest, whereIs } from "../lab/guests.ts";
import { type LabState, labDown, labUp, loadLab } from "../lab/lab.ts";
import { observe } from "../lab/observe/observe.ts";
import { CodedError, toCodedError } from "../std/errors.ts";
import type { Arm } from "./arms.ts";
import type { RunRecord } from "./document.ts";
import type { Load } from "./loads.ts";
import { repetitions } from "./order.ts";

/** A lab of its own: two campaigns at once must not take each other's down. */
const LAB = `bench-${process.pid}`;
const HOSTS = ["a", "b"] as const;
const VM = "guest";

export interface Campaign {
  readonly linkBytesPerSecond: number;
  readonly loads: readonly Load[];
  readonly arms: readonly Arm[];
  readonly runs: number;
  readonly seed: number;
  /** Undisturbed service before each move; disruption is judged against it. */
  readonly settleMs: number;
  /** Watched on after each move. */
  readonly tailMs: number;
  readonly signal: AbortSignal;
  say(line: string): void;
  onRun(run: RunRecord): void;
}

interface Base {
  readonly fromNs: bigint;
  readonly toNs: bigint;
}

/** Makes the lab, runs everything, and takes the lab down again, also after a failure. */
export async function runCampaign(campaign: Campaign): Promise<void> {
  const { linkBytesPerSecond, loads, signal } = campaign;
  try {
    const lab = await labUp({ name: LAB, hosts: [...HOSTS], linkBytesPerSecond });
    for (const load of loads) {
      signal.throwIfAborted();
      campaign.say(`\n${load.name}: a guest that ${load.says}.`);
      await runLoad(lab, load, campaign);
    }
  } finally {
    await labDown(LAB);
  }
}

async function runLoad(lab: LabState, load: Load, campaign: Campaign): Promise<void> {
  const { settleMs, tailMs, signal, seed } = campaign;
  await startGuest(lab, load);
  await sleep(settleMs, undefined, { signal });
  for (const [repetition, arms] of repetitions(campaign.arms, campaign.runs, seed).entries()) {
    // The paired run without a migration; each move is compared with as much of it as the move lasted.
    const fromNs = process.hrtime.bigint();
    await sleep(settleMs + tailMs, undefined, { signal });
    const base = { fromNs, toNs: process.hrtime.bigint() };
    for (const arm of arms) {
      signal.throwIfAborted();
      const common = {
        workload: load.name,
        says: load.says,
        arm: arm.name,
        shows: arm.shows,
        repetition,
        seed,
      };
      const at = new Date().toISOString();
      const [report, problem] = await oneRun(lab, arm, base, campaign);
      campaign.onRun({ ...common, at, link: linkOf(lab), report, problem });
      if (report === null) await restartGuest(lab, load);
    }
  }
  await stopGuest(lab, VM);
}

const startGuest = (lab: LabState, { workload, memory, params }: Load): Promise<unknown> =>
  runGuest(lab, { name: VM, host: HOSTS[0], workload, memory, params });

/** After a run that ended nobody knows how, the next one must not inherit its guest. */
async function restartGuest(lab: LabState, load: Load): Promise<void> {
  await stopGuest(lab, VM);
  await startGuest(lab, load);
}

const linkOf = ({ link }: LabState): RunRecord["link"] => ({
  shaped: link.shaped,
  rate_bytes_per_second: link.rateBytesPerSecond,
  delay_ms: link.delayMs,
  note: link.note,
});

async function oneRun(
  lab: LabState,
  arm: Arm,
  base: Base,
  campaign: Campaign,
): Promise<readonly [Report, ""] | readonly [null, string]> {
  const { settleMs, signal } = campaign;
  await sleep(settleMs, undefined, { signal });
  try {
    const from = await whereIs(lab, VM);
    const host = lab.hosts.find(({ name }) => name === from);
    if (host === undefined) throw new CodedError("VM_UNKNOWN", { vm: VM, where: "both hosts" });
    const target = HOSTS.find((name) => name !== from) ?? HOSTS[1];
    const client = connectAgent(host.socket);
    const body = migrateRequest.parse({ target, ...arm.settings });
    const { id } = await client.migrate({ params: { name: VM }, body, signal });
    for await (const _ of client.follow(id, signal)) {
      // only its end matters here
    }
    const report = await client.report({ params: { id } });
    const observation = await observe(loadLab(lab.name), VM, windowOf(report, base, campaign));
    return [await client.observe({ params: { id }, body: observation }), ""];
  } catch (error) {
    signal.throwIfAborted();
    return [null, toCodedError(error).message];
  }
}

function windowOf(
  report: Report,
  base: Base,
  { settleMs, tailMs, signal }: Campaign,
): Parameters<typeof observe>[2] {
  const t0Ns = BigInt(report.clock.t0_ns);
  const { total_time_ms: totalMs } = report.metrics;
  const t6Ns = totalMs === null ? process.hrtime.bigint() : t0Ns + BigInt(Math.ceil(totalMs * 1e6));
  const lengthNs = t6Ns - t0Ns + BigInt(Math.round(tailMs * 1e6));
  const fromNs = base.toNs - lengthNs > base.fromNs ? base.toNs - lengthNs : base.fromNs;
  return { t0Ns, t6Ns, tailMs, baselineMs: settleMs, pairedBase: { fromNs, toNs: base.toNs }, signal };
}
