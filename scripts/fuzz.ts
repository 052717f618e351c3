/**
 * Long runs against the readers of outside bytes, from the corpus and its mutations:
 *
 *   node scripts/fuzz.ts --minutes 5                     all readers by turns
 *   node scripts/fuzz.ts --minutes 5 --reader stream     one
 *   node scripts/fuzz.ts --reader stream --seed 7        the same inputs again
 *
 * What fails is shrunk and saved as test/corpus/READER/failed-….bin.zst, which the unit tests replay from then on.
 */
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Worker } from "node:worker_threads";
import { zstdCompressSync } from "node:zlib";

import * as fc from "fast-check";

import { CORPUS, SUFFIX } from "../test/fuzz/corpus.ts";
import { inputOf, property, readers } from "../test/fuzz/property.ts";
import type { Reader } from "../test/fuzz/reader.ts";

const RUNS_PER_TURN = 500;
/** One input takes milliseconds. */
const HANG_MS = 20_000;
const MINUTE_MS = 60_000;

const { values } = parseArgs({
  options: { minutes: { type: "string" }, reader: { type: "string" }, seed: { type: "string" } },
});
const chosen = readers.filter(({ name }) => values.reader === undefined || name === values.reader);
if (chosen.length === 0) throw new Error(`readers are ${readers.map(({ name }) => name).join(", ")}`);
const deadline = performance.now() + Number(values.minutes ?? 0) * MINUTE_MS;
let seed = values.seed === undefined ? Date.now() >>> 0 : Number(values.seed);

/** This thread cannot see that it hangs; another looks whether it goes on. It says which seed to try again. */
const shared = new Int32Array(new SharedArrayBuffer(8));
const watchdog = new Worker(
  `const { workerData: { shared, hangMs } } = require("node:worker_threads");
   let before = -1;
   setInterval(() => {
     if (shared[0] === before) {
       require("node:fs").writeSync(1, "HANG with seed " + (shared[1] >>> 0) + "\\n");
       process.kill(process.pid, "SIGKILL");
     }
     before = shared[0];
   }, hangMs);`,
  { eval: true, workerData: { shared, hangMs: HANG_MS } },
);
watchdog.unref();

let failures = 0;
const outcomes = new Map<string, number>();

function turn(reader: Reader): void {
  shared[1] = seed;
  const run = property(reader, (outcome) => {
    shared[0] = (shared[0] ?? 0) + 1;
    const name = `${reader.name} ${outcome === "" ? "taken" : outcome}`;
    outcomes.set(name, (outcomes.get(name) ?? 0) + 1);
  });
  const result = fc.check(run, { numRuns: RUNS_PER_TURN, seed });
  if (!result.failed) return;
  failures += 1;
  const [wrong] = result.counterexample ?? [];
  console.log(
    `FAILED ${reader.name}, seed ${seed}: ${String(result.errorInstance)}\n${JSON.stringify(wrong)}`,
  );
  if (wrong === undefined) return;
  const input = inputOf(reader, wrong);
  const name = `failed-${createHash("sha1").update(input).digest("hex").slice(0, 10)}${SUFFIX}`;
  writeFileSync(join(CORPUS, reader.name, name), zstdCompressSync(input));
  console.log(`saved as test/corpus/${reader.name}/${name} (${input.byteLength} bytes)`);
}

console.log(`seed ${seed}; ${chosen.map((reader) => reader.name).join(" ")}`);
do {
  for (const reader of chosen) turn(reader);
  seed = (seed + 1) >>> 0;
} while (performance.now() < deadline);
for (const [name, count] of outcomes) console.log(`${String(count).padStart(9)} ${name}`);
console.log(`next seed ${seed}; ${failures} failures`);
await watchdog.terminate();
process.exitCode = failures > 0 ? 1 : 0;
