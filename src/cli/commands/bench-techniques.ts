/** godwit bench techniques: every way to end a migration, against the same guests over the same link. */
import type { Command } from "commander";

import type { Campaign } from "../../bench/techniques.ts";
import type { BenchDocument, RunRecord } from "../../bench/document.ts";
import { ExitCode } from "../../std/errors.ts";
import { parseDuration, parseRate } from "../../std/units.ts";
import { interrupted, named, runsFlag, seedFlag } from "../bench-flags.ts";
import { benchTable, runLine } from "../bench-view.ts";
import type { Cli } from "../context.ts";
import { type OutputFlags, verb, withOutput } from "../options.ts";
import { printResult } from "../output.ts";

interface Flags extends OutputFlags {
  readonly workloads?: string;
  readonly arms?: string;
  readonly link: string;
  readonly runs: string;
  readonly seed?: string;
  readonly settle: string;
  readonly tail: string;
  readonly out: string;
  readonly from?: string;
}

export const benchTechniquesCommand = (cli: Cli): Command =>
  withOutput(
    verb(
      "techniques",
      "every technique and stop rule, over a shaped link, with and without a busy guest",
      "godwit bench techniques --workloads idle,writer-near --arms pre-copy,post-copy --runs 3",
      "godwit bench techniques --from godwit-bench",
    ),
  )
    .option("--workloads <names>", "which, with commas between; all when left out")
    .option("--arms <names>", "which, with commas between; all when left out")
    .option("--link <rate>", "the rate of the link between the hosts", "100Mbit/s")
    .option("--runs <n>", "how often each arm is run with each workload", "3")
    .option("--seed <n>", "draws the order of the runs; printed, so that it can be given again")
    .option("--settle <duration>", "undisturbed service before each move, the base for disruption", "5s")
    .option("--tail <duration>", "watched on after each move; 30s to publish", "5s")
    .option("--out <folder>", "every run's report is added to runs.jsonl there", "godwit-bench")
    .option("--from <folder>", "run nothing: make the figures of the runs in this folder again")
    .action(async (flags: Flags) => {
      const folder = flags.from ?? flags.out;
      if (flags.from === undefined) await campaign(cli, flags);
      const document = await resultOf(folder, flags);
      await printResult(cli, flags.output, document, () => benchTable(document));
    });

async function campaign(cli: Cli, flags: Flags): Promise<void> {
  const { armsFor, armNames } = await import("../../bench/arms.ts");
  const { loadsFor, loadNames } = await import("../../bench/loads.ts");
  const { appendRun } = await import("../../bench/runs-file.ts");
  const { runCampaign } = await import("../../bench/techniques.ts");
  const linkBytesPerSecond = parseRate(flags.link);
  const stopped = new AbortController();
  const plan: Campaign = {
    linkBytesPerSecond,
    loads: loadsFor(named(flags.workloads, loadNames), linkBytesPerSecond),
    arms: armsFor(named(flags.arms, armNames), linkBytesPerSecond),
    runs: runsFlag(flags.runs),
    seed: seedFlag(flags.seed),
    settleMs: parseDuration(flags.settle),
    tailMs: parseDuration(flags.tail),
    signal: stopped.signal,
    say: (line) => cli.say(line),
    onRun: (run: RunRecord) => {
      appendRun(flags.out, run);
      cli.say(runLine(run));
      if (run.report?.correctness.verdict === "failed") cli.exitCode = ExitCode.postCheckFailed;
    },
  };
  const stopListening = cli.onInterrupt(() => stopped.abort(interrupted(flags.out)));
  try {
    cli.say(`Seed ${plan.seed}. ${plan.runs} × ${plan.arms.length} arms × ${plan.loads.length} workloads.`);
    await runCampaign(plan);
  } finally {
    stopListening();
  }
}

async function resultOf(folder: string, flags: Flags): Promise<BenchDocument> {
  const { armNames } = await import("../../bench/arms.ts");
  const { loadNames } = await import("../../bench/loads.ts");
  const { documentOf } = await import("../../bench/cells.ts");
  const { readRuns } = await import("../../bench/runs-file.ts");
  const { runRecord } = await import("../../bench/document.ts");
  return documentOf(
    readRuns(folder, runRecord),
    named(flags.workloads, loadNames),
    named(flags.arms, armNames),
  );
}
