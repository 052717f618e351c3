/**
 * The order of a campaign over the wire: per link and contents a guest, moved once with each arm per repetition, in an
 * order drawn from the seed. Runs that were done before are passed over, so that a campaign can be taken in slices.
 * What a move is and what is measured of it is the stage's.
 */
import { toCodedError } from "../../std/errors.ts";
import { repetitions } from "../order.ts";
import type { WireArm } from "./arms.ts";
import type { Contents } from "./contents.ts";
import type { WireRun } from "./document.ts";
import type { Link } from "./links.ts";
import type { Stage } from "./stage.ts";

export interface WireCampaign {
  /** What contents write and how long an arm may take follow from the link. */
  readonly links: readonly {
    readonly link: Link;
    readonly contents: readonly Contents[];
    readonly arms: readonly WireArm[];
  }[];
  readonly runs: number;
  /** One more run of each cell that proves the whole memory and is not measured. */
  readonly proofs: boolean;
  readonly seed: number;
  /** Of this seed, from an earlier slice. */
  readonly before: readonly WireRun[];
  /** No run is begun after this; absent means never. */
  readonly enough?: () => boolean;
  readonly signal: AbortSignal;
  say(line: string): void;
  onRun(run: WireRun): void;
}

interface Planned {
  readonly arm: WireArm;
  readonly repetition: number;
  readonly proof: boolean;
}

const canProve = ({ settings }: WireArm): boolean => settings.technique !== "post-copy";

/** Proofs come last: their long pauses must not stand between runs that are measured. */
export function planOf(
  arms: readonly WireArm[],
  { runs, seed, proofs }: Pick<WireCampaign, "runs" | "seed" | "proofs">,
): readonly Planned[] {
  const rounds = repetitions(arms, proofs ? runs + 1 : runs, seed);
  return rounds.flatMap((round, repetition) => {
    const proof = repetition === runs;
    return round.filter((arm) => !proof || canProve(arm)).map((arm) => ({ arm, repetition, proof }));
  });
}

const isOf =
  (link: Link, contents: Contents, planned: Planned) =>
  (run: WireRun): boolean =>
    run.link === link.name &&
    run.contents === contents.name &&
    run.arm === planned.arm.name &&
    run.proof === planned.proof &&
    (planned.proof || run.repetition === planned.repetition);

/** @returns whether every run is done now. The stage is taken down in any case. */
export async function runWireCampaign(campaign: WireCampaign, stage: Stage): Promise<boolean> {
  for (const { link, contents: all, arms } of campaign.links) {
    const left = all.flatMap((contents) => {
      const plan = planOf(arms, campaign).filter(
        (planned) => !campaign.before.some(isOf(link, contents, planned)),
      );
      return plan.length === 0 ? [] : [{ contents, plan }];
    });
    if (left.length === 0) continue;
    if (campaign.enough?.() === true) return false;
    try {
      const shaping = await stage.up(link);
      for (const { contents, plan } of left) {
        campaign.say(`\n${link.name}, ${contents.name}: ${contents.says}.`);
        if (!(await runContents(campaign, stage, { link, shaping, contents, plan }))) return false;
      }
    } finally {
      await stage.down();
    }
  }
  return true;
}

interface Part {
  readonly link: Link;
  readonly shaping: WireRun["shaping"];
  readonly contents: Contents;
  readonly plan: readonly Planned[];
}

async function runContents(campaign: WireCampaign, stage: Stage, part: Part): Promise<boolean> {
  const { signal } = campaign;
  let there = false;
  for (const planned of part.plan) {
    signal.throwIfAborted();
    if (campaign.enough?.() === true) return false;
    if (!there) await stage.guest(part.contents, signal);
    const run = await oneRun(campaign, stage, part, planned);
    campaign.onRun(run);
    // After a run that ended nobody knows how, or a guest that is broken, the next one gets a fresh guest.
    there = run.report !== null && run.report.correctness.verdict !== "failed";
    if (!there) await stage.endGuest();
  }
  if (there) await stage.endGuest();
  return true;
}

async function oneRun(
  { seed, signal }: WireCampaign,
  stage: Stage,
  { link, shaping, contents, plan: _plan }: Part,
  { arm, repetition, proof }: Planned,
): Promise<WireRun> {
  const common = {
    contents: contents.name,
    says: contents.says,
    link: link.name,
    shaping,
    arm: arm.name,
    shows: arm.shows,
    stock: arm.stock,
    repetition,
    seed,
    proof,
    at: new Date().toISOString(),
  };
  try {
    const { report, beside } = await stage.move(arm, proof, signal);
    return { ...common, report, beside, problem: "" };
  } catch (error) {
    signal.throwIfAborted();
    return { ...common, report: null, beside: null, problem: toCodedError(error).message };
  }
}
