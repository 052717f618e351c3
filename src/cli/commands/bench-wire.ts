/** godwit bench wire: whether the relay is worth it. Stock ways to send a guest against godwit's, cell by cell. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

import type { Command } from "commander";

import type { WireCampaign } from "../../bench/wire/campaign.ts";
import type { WireDocument, WireRun } from "../../bench/wire/document.ts";
import type { Stage, StageTimes } from "../../bench/wire/stage.ts";
import { ExitCode } from "../../std/errors.ts";
import { parseDuration } from "../../std/units.ts";
import { interrupted, named, runsFlag, seedFlag } from "../bench-flags.ts";
import { wireRunLine, wireTable } from "../bench-wire-view.ts";
import type { Cli } from "../context.ts";
import { type OutputFlags, verb, withOutput } from "../options.ts";
import { printResult } from "../output.ts";

interface Flags extends OutputFlags {
  readonly contents?: string;
  readonly links?: string;
  readonly arms?: string;
  readonly runs: string;
  readonly proveMemory?: boolean;
  readonly seed?: string;
  readonly for?: string;
  readonly settle: string;
  readonly tail: string;
  readonly out: string;
  readonly plot?: string;
  readonly from?: string;
}

type StageMaker = (times: StageTimes) => Promise<Stage>;

const labStage: StageMaker = async (times) => {
  const { LabStage } = await import("../../bench/wire/stage.ts");
  return new LabStage(times);
};

/** Tests put a stage of their own in the lab's place. */
export const benchWireCommand = (cli: Cli, makeStage: StageMaker = labStage): Command =>
  withOutput(
    verb(
      "wire",
      "what the relay saves: contents, links and ways to send, against the best stock QEMU can do",
      "godwit bench wire --contents mixed,redis --links 100Mbit/s --arms multifd-zstd1,relay --runs 3 -o json",
      "godwit bench wire --contents unique --links 1Gbit/s --runs 3 --seed 7 --for 5m",
      "godwit bench wire --from godwit-bench-wire",
    ),
  )
    .option("--contents <names>", "of the guest's memory, with commas between; all when left out")
    .option("--links <rates>", "between the hosts: 100Mbit/s, 1Gbit/s, unshaped or another rate; these three")
    .option("--arms <names>", "ways to send, with commas between; all when left out")
    .option("--runs <n>", "how often each arm is run in each cell", "3")
    .option("--prove-memory", "one more run of each cell, unmeasured, that compares the whole memory")
    .option("--seed <n>", "draws the order of the runs; a campaign of the same seed goes on where it stopped")
    .option("--for <duration>", "begin no run after this; go on later with the same seed and folder")
    .option("--settle <duration>", "undisturbed service before each move", "2s")
    .option("--tail <duration>", "watched on after each move", "2s")
    .option("--out <folder>", "every run's report is added to runs.jsonl there", "godwit-bench-wire")
    .option("--plot <file>", "where the SVG goes; wire.svg in the folder when left out")
    .option("--from <folder>", "run nothing: make the figures of the runs in this folder again")
    .action(async (flags: Flags) => {
      const seed = seedFlag(flags.seed);
      if (flags.from === undefined) await campaign(cli, flags, seed, makeStage);
      const document = await resultOf(flags, seed);
      await writePlot(cli, document);
      await printResult(cli, flags.output, document, () => wireTable(document));
    });

async function campaign(cli: Cli, flags: Flags, seed: number, makeStage: StageMaker): Promise<void> {
  const { wireArmNames, wireArmsFor } = await import("../../bench/wire/arms.ts");
  const { contentsFor, contentsNames } = await import("../../bench/wire/contents.ts");
  const { linkNames, linksFor } = await import("../../bench/wire/links.ts");
  const { runWireCampaign } = await import("../../bench/wire/campaign.ts");
  const { appendRun } = await import("../../bench/runs-file.ts");
  const stopped = new AbortController();
  const endMs = flags.for === undefined ? Infinity : performance.now() + parseDuration(flags.for);
  const contents = named(flags.contents, contentsNames);
  const arms = named(flags.arms, wireArmNames);
  const plan: WireCampaign = {
    links: linksFor(named(flags.links, linkNames)).map((link) => ({
      link,
      contents: contentsFor(contents, link),
      arms: wireArmsFor(arms, link),
    })),
    runs: runsFlag(flags.runs),
    proofs: flags.proveMemory ?? false,
    seed,
    before: await runsOf(flags.out, seed),
    enough: () => performance.now() > endMs,
    signal: stopped.signal,
    say: (line) => cli.say(line),
    onRun: (run: WireRun) => {
      appendRun(flags.out, run);
      cli.say(wireRunLine(run));
      if (run.report?.correctness.verdict === "failed") cli.exitCode = ExitCode.postCheckFailed;
    },
  };
  const stage = await makeStage({ settleMs: parseDuration(flags.settle), tailMs: parseDuration(flags.tail) });
  const stopListening = cli.onInterrupt(() => stopped.abort(interrupted(flags.out)));
  try {
    cli.say(
      `Seed ${seed}. ${plan.runs} × ${arms.length} arms × ${contents.length} contents × ${plan.links.length} links.`,
    );
    const whole = await runWireCampaign(plan, stage);
    if (!whole) cli.say(`Time is up; --seed ${seed} --out ${flags.out} goes on where this stopped.`);
  } finally {
    stopListening();
  }
}

/** Of one campaign; other campaigns may have written into the same folder. */
async function runsOf(folder: string, seed: number | null): Promise<readonly WireRun[]> {
  const { hasRuns, readRuns } = await import("../../bench/runs-file.ts");
  const { wireRun } = await import("../../bench/wire/document.ts");
  if (seed !== null && !hasRuns(folder)) return [];
  const runs = readRuns(folder, wireRun);
  return seed === null ? runs : runs.filter((run) => run.seed === seed);
}

async function resultOf(flags: Flags, seed: number): Promise<WireDocument> {
  const { wireArmNames } = await import("../../bench/wire/arms.ts");
  const { contentsNames } = await import("../../bench/wire/contents.ts");
  const { linkNames } = await import("../../bench/wire/links.ts");
  const { wireDocumentOf } = await import("../../bench/wire/compare.ts");
  const folder = flags.from ?? flags.out;
  const again = flags.from !== undefined;
  const runs = await runsOf(folder, again && flags.seed === undefined ? null : seed);
  const all = (names: readonly string[], of: (run: WireRun) => string): readonly string[] => [
    ...new Set([...names, ...runs.map(of)]),
  ];
  const order = {
    links: named(
      flags.links,
      all(linkNames, ({ link }) => link),
    ),
    contents: named(flags.contents, contentsNames),
    arms: named(flags.arms, wireArmNames),
  };
  return wireDocumentOf(runs, order, flags.plot ?? join(folder, "wire.svg"));
}

async function writePlot(cli: Cli, document: WireDocument): Promise<void> {
  const { plotOf } = await import("../../bench/wire/plot.ts");
  if (document.plot === null || document.cells.length === 0) return;
  mkdirSync(dirname(document.plot), { recursive: true });
  writeFileSync(document.plot, plotOf(document));
  cli.say(`\nPlot: ${document.plot}`);
}
