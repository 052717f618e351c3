import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, expect, test } from "vitest";

import { FakeTerminal } from "../../test/fakes/terminal.ts";
import { FakeStage, runOf } from "../../test/fakes/wire-stage.ts";
import { appendRun } from "../bench/runs-file.ts";
import { wireDocument } from "../bench/wire/document.ts";
import { benchWireCommand } from "./commands/bench-wire.ts";
import { Cli } from "./context.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "godwit-bench-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** The command with a stage in the lab's place. */
async function bench(stage: FakeStage, ...argv: readonly string[]) {
  let [stdout, stderr] = ["", ""];
  const cli = new Cli({
    stdin: (async function* stdin() {
      yield await Promise.resolve("");
    })(),
    stdout: { write: (text) => (stdout += Buffer.from(text as Uint8Array).toString()) },
    stderr: { write: (text) => (stderr += Buffer.from(text as Uint8Array).toString()) },
    env: {},
    onInterrupt: () => () => undefined,
  });
  const command = benchWireCommand(cli, () => Promise.resolve(stage));
  await command.parseAsync([...argv, "--out", folder], { from: "user" });
  return { stdout, stderr, exitCode: cli.exitCode };
}

const SLICE = ["--contents", "mixed,redis", "--links", "100Mbit/s", "--arms", "multifd-zstd1,relay"];

test("with -o json stdout is the document and nothing else; the plot is a file that is named", async () => {
  const stage = new FakeStage((arm) => ({ wireMiB: arm === "relay" ? 30 : 60 }));
  const { stdout, stderr } = await bench(stage, ...SLICE, "--runs", "3", "-o", "json");
  const document = wireDocument.parse(JSON.parse(stdout));
  expect(document.cells.map(({ contents, arm, runs }) => [contents, arm, runs])).toEqual([
    ["mixed", "multifd-zstd1", 3],
    ["mixed", "relay", 3],
    ["redis", "multifd-zstd1", 3],
    ["redis", "relay", 3],
  ]);
  expect(document.cells[1]?.ratio_to_best_stock.wire_bytes).toBe(0.5);
  expect(document.plot).toBe(join(folder, "wire.svg"));
  expect(stderr).toContain(`Plot: ${folder}/wire.svg`);
  expect(readFileSync(join(folder, "wire.svg"), "utf8")).toMatch(/^<svg /);
});

test("a campaign is its own: runs of another seed in the folder are not in its figures, but in those of --from", async () => {
  appendRun(folder, runOf("mixed", "100Mbit/s", "relay", {}, { seed: 1 }));
  const { stdout } = await bench(new FakeStage(), ...SLICE, "--runs", "1", "--seed", "2", "-o", "json");
  expect(wireDocument.parse(JSON.parse(stdout)).seeds).toEqual([2]);
  const again = await bench(new FakeStage(), "--from", folder, "-o", "json");
  expect(wireDocument.parse(JSON.parse(again.stdout)).seeds).toEqual([1, 2]);
});

test("the same seed goes on where it stopped", async () => {
  await bench(new FakeStage(), ...SLICE, "--runs", "1", "--seed", "3");
  const stage = new FakeStage();
  const { stdout } = await bench(stage, ...SLICE, "--runs", "2", "--seed", "3", "-o", "json");
  expect(stage.diary.filter((line) => line.startsWith("move"))).toHaveLength(4);
  expect(wireDocument.parse(JSON.parse(stdout)).cells.map(({ runs }) => runs)).toEqual([2, 2, 2, 2]);
});

test("a guest that arrived broken leaves with the exit code of a failed check", async () => {
  const broken = { verdict: "failed" as const, checks: [], lost_acknowledged_writes: null };
  const stage = new FakeStage(() => ({ report: { correctness: broken } }));
  expect((await bench(stage, ...SLICE, "--runs", "1")).exitCode).toBe(6);
});

test("the table names each cell's arms, why runs failed, and every goal that is missed", async () => {
  const stage = new FakeStage((arm) => (arm === "relay" ? { wireMiB: 90 } : {}));
  appendRun(folder, runOf("mixed", "100Mbit/s", "relay", new Error("the guest was lost"), { seed: 4 }));
  const { stdout } = await bench(stage, ...SLICE, "--runs", "2", "--seed", "4");
  expect(stdout).toMatch(/multifd-zstd1 +2 of 2/);
  expect(stdout).toContain("relay: the guest was lost");
  expect(stdout).toMatch(/MISSED: wire bytes, geometric mean, at most 0.7: 0.90/);
});

test("names that do not exist are refused before anything is made", async () => {
  const terminal = new FakeTerminal();
  expect(await terminal.run("bench", "wire", "--contents", "noise", "--out", folder)).toBe(2);
  expect(terminal.stderr).toMatch(/booted-server, redis, mixed, partial, unique/);
  expect(await new FakeTerminal().run("bench", "wire", "--runs", "0", "--out", folder)).toBe(2);
  expect(await new FakeTerminal().run("bench", "wire", "--links", "100", "--out", folder)).toBe(2);
  expect(existsSync(join(folder, "runs.jsonl"))).toBe(false);
});

test("figures are made again from a folder, and a folder without runs is refused", async () => {
  appendRun(folder, runOf("mixed", "200Mbit/s", "relay"));
  const terminal = new FakeTerminal();
  expect(await terminal.run("bench", "wire", "--from", folder, "-o", "json")).toBe(0);
  expect(wireDocument.parse(JSON.parse(terminal.stdout)).cells).toMatchObject([{ link: "200Mbit/s" }]);
  const none = new FakeTerminal();
  expect(await none.run("bench", "wire", "--from", join(folder, "none"))).toBe(2);
  expect(none.stderr).toContain("no campaign wrote there");
});

test("--help shows an example", async () => {
  const terminal = new FakeTerminal();
  expect(await terminal.run("bench", "wire", "--help")).toBe(0);
  expect(terminal.stdout).toContain(
    "godwit bench wire --contents mixed,redis --links 100Mbit/s --arms multifd-zstd1,relay --runs 3 -o json",
  );
});
