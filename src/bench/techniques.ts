/**
 * A campaign over techniques: a lab of two hosts over one shaped link; for each workload one guest, moved back and
 * forth. Acts only; which runs, in which order, and what they come to is decided in the files beside this one.
 */
import { setTimeout as sleep } from "node:timers/promises";

import type { Report } from "../api/report.ts";
import { type LabState, labDown, labUp } from "../lab/lab.ts";
import { toCodedError } from "../std/errors.ts";
import type { Arm } from "./arms.ts";
import type { RunRecord } from "./document.ts";
import type { Load } from "./loads.ts";
import { HOSTS, endGuest, move, placeOf, spanOf, startGuest, withObservers } from "./moves.ts";
import { repetitions } from "./order.ts";

/** A lab of its own: two campaigns at once must not take each other's down. */
const LAB = `bench-${process.pid}`;
/** The arms are techniques and rules; they are compared over QEMU's own plain stream unless one says otherwise. */
const QEMU_ITSELF = { wire: "direct", native: { channels: 0 } } as const;

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
  await startGuest(lab, guestOf(load));
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
      if (report === null) {
        await endGuest(lab);
        await startGuest(lab, guestOf(load));
      }
    }
  }
  await endGuest(lab);
}

const guestOf = ({ workload, memory, params }: Load) => ({ workload, memory, params });

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
    const place = await placeOf(lab);
    const report = await move(place, { ...QEMU_ITSELF, ...arm.settings }, signal);
    return [await withObservers(lab, place, report, windowOf(report, base, campaign)), ""];
  } catch (error) {
    signal.throwIfAborted();
    return [null, toCodedError(error).message];
  }
}

function windowOf(
  report: Report,
  base: Base,
  { settleMs, tailMs, signal }: Campaign,
): Parameters<typeof withObservers>[3] {
  const { t0Ns, t6Ns } = spanOf(report);
  const lengthNs = t6Ns - t0Ns + BigInt(Math.round(tailMs * 1e6));
  const fromNs = base.toNs - lengthNs > base.fromNs ? base.toNs - lengthNs : base.fromNs;
  return { tailMs, baselineMs: settleMs, pairedBase: { fromNs, toNs: base.toNs }, signal };
}
