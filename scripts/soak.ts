/**
 * Moves small guests again and again through relays, each memory compared after each move, and counts what is left:
 *
 *   node scripts/soak.ts --migrations 200                  one guest, 200 moves in a row
 *   node scripts/soak.ts --migrations 50 --concurrent 10   ten guests at once, five moves each
 *   node scripts/soak.ts --agents                          by two hosts' agents, in a lab of their own (root)
 *   --minutes 3                                            begins no move after that
 *
 * Exit code 1 when a move failed, a memory differed, or something was left behind. Starts QEMUs under TCG.
 */
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";

import { agentHerd, type Herd, type Move, pairHerd } from "../test/real/herd.ts";

const MINUTE_MS = 60_000;
const MIB = 2 ** 20;
/** A process's first moves fill its caches. */
const WARM_UP_MOVES = 10;
/** Of each end of the run, for comparing what is resident. */
const SAMPLES = 10;
/** A median that grew by more is a leak. */
const GROWTH_MAX = 1.2;
const SETTLE_MS = 15_000;
const POLL_MS = 200;

const { values } = parseArgs({
  options: {
    migrations: { type: "string", default: "200" },
    concurrent: { type: "string", default: "1" },
    minutes: { type: "string", default: "60" },
    agents: { type: "boolean", default: false },
  },
});
const total = Number(values.migrations);
const concurrent = Number(values.concurrent);
const deadline = performance.now() + Number(values.minutes) * MINUTE_MS;

const median = (numbers: readonly number[]): number =>
  [...numbers].sort((one, other) => one - other)[Math.floor(numbers.length / 2)] ?? 0;
const mib = (bytes: number): string => `${Math.round(bytes / MIB)} MiB`;

/** Waves, until one of them has a problem. */
async function moveAll(herd: Herd, problems: string[]): Promise<readonly Move[]> {
  const moves: Move[] = [];
  while (moves.length < total && performance.now() < deadline && problems.length === 0) {
    const wave = herd.guests.slice(0, total - moves.length);
    for (const [index, result] of (await Promise.allSettled(wave.map((guest) => guest.move()))).entries()) {
      if (result.status === "fulfilled") moves.push(result.value);
      else problems.push(`guest ${index}, after ${moves.length} moves: ${String(result.reason)}`);
    }
  }
  return moves;
}

function judgeResident(moves: readonly Move[], problems: string[]): void {
  for (const name of Object.keys(moves[0]?.resident ?? {})) {
    const bytes = moves.slice(moves.length > 2 * WARM_UP_MOVES ? WARM_UP_MOVES : 0).map(of(name));
    const [first, last] = [median(bytes.slice(0, SAMPLES)), median(bytes.slice(-SAMPLES))];
    console.log(`${name}: ${mib(first)} early, ${mib(last)} late, at most ${mib(Math.max(0, ...bytes))}`);
    if (last > first * GROWTH_MAX) problems.push(`${name} grew`);
  }
}

type Counts = Readonly<Record<string, number>>;
const grown = (before: Counts, after: Counts): readonly string[] =>
  Object.keys(after).filter((name) => (after[name] ?? 0) > (before[name] ?? 0));

/** Connections that are kept for a while are no leak. */
async function settled(herd: Herd, before: Counts): Promise<Counts> {
  const until = performance.now() + SETTLE_MS;
  for (;;) {
    const after = await herd.counts();
    if (grown(before, after).length === 0 || performance.now() > until) return after;
    await delay(POLL_MS);
  }
}

const of =
  (name: string) =>
  ({ resident }: Move): number =>
    resident[name] ?? 0;

async function soak(herd: Herd): Promise<string[]> {
  const problems: string[] = [];
  try {
    // There and back before anything is counted: agents keep a connection each way.
    for (let way = 0; way < 2; way += 1) await Promise.all(herd.guests.map((guest) => guest.move()));
    const before = await herd.counts();
    const began = performance.now();
    const moves = await moveAll(herd, problems);
    const seconds = (performance.now() - began) / 1000;
    const after = await settled(herd, before);
    console.log(`${moves.length} moves, ${concurrent} at once, in ${seconds.toFixed(1)} s`);
    console.log(`before ${JSON.stringify(before)}\nafter  ${JSON.stringify(after)}`);
    // A move that failed leaves what shows why.
    if (problems.length === 0) {
      for (const name of grown(before, after)) {
        problems.push(`${name} grew from ${before[name] ?? 0} to ${after[name]}`);
      }
    }
    judgeResident(moves, problems);
    const ms = moves.map(({ totalMs }) => totalMs);
    console.log(
      `a move took ${Math.round(median(ms))} ms (median), at most ${Math.round(Math.max(0, ...ms))} ms`,
    );
    await herd.check();
  } finally {
    const left = await herd.down();
    if (left.length > 0) problems.push(`processes left: ${left.join(" ")}`);
  }
  return problems;
}

const problems = await soak(await (values.agents ? agentHerd(concurrent) : pairHerd(concurrent)));
for (const problem of problems) console.log(`PROBLEM ${problem}`);
process.exitCode = problems.length > 0 ? 1 : 0;
