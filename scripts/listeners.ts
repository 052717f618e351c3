/**
 * What a thousand listeners of events cost a migration: moves one small guest back and forth between two hosts' agents,
 * by turns with and without them at the source's, and compares the pauses:
 *
 *   node scripts/listeners.ts                  20 moves each way of it (root; starts QEMUs under TCG)
 *   node scripts/listeners.ts --runs 40 --listeners 1000
 *
 * Every listener has to get every event that the first one got. Exit code 1 when one did not, or when the medians of the
 * pauses are further apart than the quartiles of the pauses without listeners. They run on the same machine, in a
 * process of their own: what they take themselves is in the figures too.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { connect } from "node:net";
import { parseArgs } from "node:util";

import { spreadOf } from "../src/bench/spread.ts";
import { hostOf } from "../src/lab/state.ts";
import { Arena, type Host, otherHost, until } from "../test/real/arena.ts";

const DEADLINE_MS = 60_000;
const SETTLE_MS = 5_000;
const AT_ONCE = 50;
const REQUEST = "GET /events HTTP/1.1\r\nhost: agent\r\naccept: text/event-stream\r\n\r\n";

const { values } = parseArgs({
  options: {
    runs: { type: "string", default: "20" },
    listeners: { type: "string", default: "1000" },
    /** Only for the process this one starts: be the listeners of this socket. */
    at: { type: "string" },
  },
});
const runs = Number(values.runs);
const count = Number(values.listeners);

/** Connects all, says so, and at the end of stdin how many events the least and the most informed one got. */
async function listen(socketPath: string): Promise<void> {
  const heard = Array.from({ length: count }, () => 0);
  const one = (index: number): Promise<void> =>
    new Promise((ready, fail) => {
      const socket = connect(socketPath, () => socket.write(REQUEST));
      let text = "";
      socket.setEncoding("latin1");
      socket.on("error", fail);
      socket.on("data", (chunk: string) => {
        // An event can come in pieces; only where one ends it is whole.
        const parts = (text + chunk).split("\n\n");
        text = parts.pop() ?? "";
        heard[index] = (heard[index] ?? 0) + parts.filter((part) => part.includes("\ndata: ")).length;
        ready();
      });
    });
  // Not all at once: a socket's queue of those who wait to be let in is short.
  for (let from = 0; from < count; from += AT_ONCE) {
    const some = Math.min(AT_ONCE, count - from);
    await Promise.all(Array.from({ length: some }, (_, index) => one(from + index)));
  }
  process.stdout.write("ready\n");
  process.stdin.resume();
  await new Promise((end) => process.stdin.once("end", end));
  // The last event is still on its way to some of them.
  await until("the slowest", SETTLE_MS, () => Math.min(...heard) === Math.max(...heard) || undefined).catch(
    () => undefined,
  );
  process.stdout.write(`${JSON.stringify([Math.min(...heard), Math.max(...heard)])}\n`);
  process.exit(0);
}

class Crowd {
  readonly #child: ChildProcess;
  #said = "";

  private constructor(socketPath: string) {
    const args = [import.meta.filename, "--listeners", String(count), "--at", socketPath];
    this.#child = spawn(process.execPath, args, { stdio: ["pipe", "pipe", "inherit"] });
    this.#child.stdout?.on("data", (chunk: Buffer) => (this.#said += chunk.toString()));
  }

  static async at(socketPath: string): Promise<Crowd> {
    const crowd = new Crowd(socketPath);
    await until("the listeners", DEADLINE_MS, () => crowd.#line(0));
    return crowd;
  }

  /** @returns the events that the least and the most informed one got. */
  async leave(): Promise<readonly [least: number, most: number]> {
    this.#child.stdin?.end();
    return JSON.parse(await until("the listeners' account", DEADLINE_MS, () => this.#line(1))) as [
      number,
      number,
    ];
  }

  #line(index: number): string | undefined {
    const lines = this.#said.split("\n");
    return index < lines.length - 1 ? lines[index] : undefined;
  }
}

async function pauseMs(arena: Arena, name: string, from: Host): Promise<number> {
  const { id } = await arena.migrate(name, from, { technique: "pre-copy" });
  const { source } = await arena.settled(id, from, DEADLINE_MS);
  const report = await arena.client(from).report({ params: { id } });
  const { vm } = report.metrics.downtime_ms;
  if (source.outcome !== "done" || vm === null)
    throw new Error(`it ended: ${source.outcome} ${source.reason}`);
  return vm;
}

async function compare(): Promise<boolean> {
  const arena = await Arena.up();
  const pauses: Record<"without" | "with", number[]> = { without: [], with: [] };
  const events: (readonly [number, number])[] = [];
  try {
    const name = await arena.guest("a");
    let host: Host = "a";
    // The first moves fill caches.
    for (let move = 0; move < 2; move += 1) {
      await pauseMs(arena, name, host);
      host = otherHost(host);
    }
    for (let run = 0; run < runs; run += 1) {
      // Two there and back, the second pair the other way round: what drifts falls on both.
      for (const arm of run % 2 === 0 ? (["without", "with"] as const) : (["with", "without"] as const)) {
        const { socket } = hostOf(arena.lab, host);
        const crowd = arm === "with" ? await Crowd.at(socket) : undefined;
        pauses[arm].push(await pauseMs(arena, name, host));
        if (crowd !== undefined) events.push(await crowd.leave());
        host = otherHost(host);
      }
    }
  } finally {
    await arena.down();
  }
  return judge(pauses, events);
}

function judge(
  pauses: Record<"without" | "with", readonly number[]>,
  events: readonly (readonly [least: number, most: number])[],
): boolean {
  const ms = (value: number): string => `${value.toFixed(1)} ms`;
  const quartiles = (values: readonly number[]): readonly [number, number] => {
    const inOrder = values.toSorted((a, b) => a - b);
    return [inOrder[inOrder.length >> 2] ?? 0, inOrder[(3 * inOrder.length) >> 2] ?? 0];
  };
  for (const [arm, values] of Object.entries(pauses)) {
    const spread = spreadOf(values);
    if (spread === null) continue;
    const [low, high] = quartiles(values);
    console.log(
      `${arm.padEnd(7)} ${spread.n} moves: pause ${ms(spread.median)} (median), ` +
        `quartiles ${ms(low)} to ${ms(high)}, ${ms(spread.min)} to ${ms(spread.max)} in all`,
    );
  }
  const [low, high] = quartiles(pauses.without);
  const apart = (spreadOf(pauses.with)?.median ?? 0) - (spreadOf(pauses.without)?.median ?? 0);
  const behind = events.filter(([least, most]) => least !== most || most === 0).length;
  const all = events.map(([, most]) => most);
  console.log(`medians ${ms(apart)} apart; quartiles without listeners ${ms(high - low)} apart`);
  console.log(
    `${count} listeners got ${Math.min(...all)} to ${Math.max(...all)} events in each move; ` +
      `in ${behind} moves one of them got fewer than another`,
  );
  return Math.abs(apart) <= high - low && behind === 0;
}

if (values.at !== undefined) await listen(values.at);
else process.exitCode = (await compare()) ? 0 : 1;
