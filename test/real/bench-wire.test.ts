/** One small cell for real: the stage's figures come from the link's own counters, and the guest proves itself. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, it } from "vitest";

import { wireArmsFor } from "../../src/bench/wire/arms.ts";
import { runWireCampaign } from "../../src/bench/wire/campaign.ts";
import { wireDocumentOf } from "../../src/bench/wire/compare.ts";
import { contentsFor } from "../../src/bench/wire/contents.ts";
import type { WireRun } from "../../src/bench/wire/document.ts";
import { linksFor } from "../../src/bench/wire/links.ts";
import { LabStage } from "../../src/bench/wire/stage.ts";
import { explainSkip, isRoot } from "./arena.ts";

explainSkip("bench-wire.test.ts");

const MIB = 2 ** 20;
let home: string;
beforeAll(() => {
  home = mkdtempSync(join(tmpdir(), "gw-"));
  process.env["GODWIT_LAB_HOME"] = home;
});
afterAll(() => rmSync(home, { recursive: true, force: true }));

it.runIf(isRoot)("a booted server moves by both ways, intact, and the relay sends less of it", async () => {
  const runs: WireRun[] = [];
  const names = ["qemu-default", "relay"];
  await runWireCampaign(
    {
      links: linksFor(["1Gbit/s"]).map((link) => ({
        link,
        contents: contentsFor(["booted-server"], link),
        arms: wireArmsFor(names, link),
      })),
      runs: 1,
      proofs: true,
      seed: 1,
      before: [],
      signal: AbortSignal.timeout(170_000),
      say: () => undefined,
      onRun: (run) => runs.push(run),
    },
    new LabStage({ settleMs: 500, tailMs: 500 }),
  );
  const order = { links: ["1Gbit/s"], contents: ["booted-server"], arms: names };
  const { cells } = wireDocumentOf(runs, order, null);
  expect(cells.flatMap(({ problems }) => problems)).toEqual([]);
  expect(cells).toMatchObject([
    { arm: "qemu-default", failed: 0, verified: true, memory_proofs: { runs: 1, good: 1 } },
    { arm: "relay", failed: 0, verified: true, memory_proofs: { runs: 1, good: 1 }, paths: { relay: 1 } },
  ]);
  const [plain, relay] = cells.map((cell) => cell.wire_bytes?.median ?? Number.NaN);
  expect(plain).toBeGreaterThan(40 * MIB);
  // Most of it is known from the files it was started from: about 3 MiB are left.
  expect(relay).toBeLessThan((plain ?? 0) / 5);
  const notes = runs.filter(({ arm }) => arm === "relay").map(({ report }) => report?.notes.join(" ") ?? "");
  for (const note of notes) expect(note).toMatch(/The target had \d{4,} pages of the files/);
  for (const { report, beside } of runs.filter(({ proof }) => !proof)) {
    const { wire_out: out, wire_in: into } = report?.metrics.bytes ?? { wire_out: null, wire_in: null };
    const counted = (out ?? 0) + (into ?? 0);
    // The agents read the same interface a moment before and after.
    expect(Math.abs((beside?.wire_bytes ?? 0) - counted)).toBeLessThan(0.05 * counted);
    expect(beside?.bytes_after_first_round).toBeLessThan(counted);
    expect(beside?.proved).not.toEqual([]);
  }
});
