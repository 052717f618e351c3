import { describe, expect, it } from "vitest";

import { CHECK, type FakeFigures, runOf } from "../../../test/fakes/wire-stage.ts";
import { reportOf } from "../../../test/fakes/fixtures.ts";
import { migrateSettings } from "../../api/migration.ts";
import { wireArmNames } from "./arms.ts";
import { wireDocumentOf } from "./compare.ts";
import { contentsNames } from "./contents.ts";
import { type WireRun, wireDocument } from "./document.ts";
import { linkNames } from "./links.ts";
import { plotOf } from "./plot.ts";
import { besideOf } from "./stage.ts";

const SLOW = "100Mbit/s";
const ORDER = { links: linkNames, contents: contentsNames, arms: wireArmNames };
const documentOf = (runs: readonly WireRun[]) => wireDocumentOf(runs, ORDER, "wire.svg");
const only = (runs: readonly WireRun[]) => {
  const [cell] = documentOf(runs).cells;
  if (cell === undefined) throw new Error("no cell");
  return cell;
};
const MIB = 2 ** 20;

describe("a cell", () => {
  it("counts every run and takes figures only from guests that arrived whole", () => {
    const late = { outcome: "timed-out" as const, reason: "The timeout has passed." };
    const broken = {
      verdict: "failed" as const,
      checks: [{ what: CHECK, ok: false, detail: "3 bad" }],
      lost_acknowledged_writes: null,
    };
    const cell = only([
      runOf("mixed", SLOW, "relay", { wireMiB: 30 }),
      runOf("mixed", SLOW, "relay", { wireMiB: 10 }),
      runOf("mixed", SLOW, "relay", { wireMiB: 1, report: late }),
      runOf("mixed", SLOW, "relay", { wireMiB: 2, report: { correctness: broken } }),
      runOf("mixed", SLOW, "relay", new Error("refused")),
    ]);
    expect(cell).toMatchObject({ runs: 5, failed: 3, verified: true, verified_runs: 2 });
    expect(cell.wire_bytes).toEqual({ median: 20 * MIB, min: 10 * MIB, max: 30 * MIB, n: 2 });
    expect(cell.problems.join(" ")).toMatch(/timeout has passed.*3 bad.*refused/);
  });

  it("is verified only if each guest that arrived proved what it holds", () => {
    const ticks = { proved: [] };
    expect(only([runOf("mixed", SLOW, "relay", ticks)]).verified).toBe(false);
    expect(only([runOf("mixed", SLOW, "relay"), runOf("mixed", SLOW, "relay", ticks)]).verified).toBe(false);
    expect(only([runOf("mixed", SLOW, "relay", new Error("refused"))]).verified).toBe(false);
    expect(only([runOf("mixed", SLOW, "relay")]).verified).toBe(true);
  });

  it("does not take a run for its arm that went another way than asked", () => {
    const asked = { report: { settings: migrateSettings.parse({ wire: "relay" }), path: "direct" as const } };
    expect(only([runOf("mixed", SLOW, "relay", asked)])).toMatchObject({
      failed: 1,
      wire_bytes: null,
      problems: ["asked to go by relay, went by direct"],
    });
  });

  it("adds up the processors of both sides, and of relays only when they carried it", () => {
    const cpu = { relay_source: 2, relay_target: 1, qemu_source: 4, qemu_target: 3 };
    const relay = { report: { path: "relay" as const, cpu_seconds: cpu } };
    expect(only([runOf("mixed", SLOW, "relay", relay)]).cpu_seconds?.median).toBe(10.5);
    const direct = { report: { cpu_seconds: { ...cpu, relay_source: null, relay_target: null } } };
    expect(only([runOf("mixed", SLOW, "direct", direct)]).cpu_seconds?.median).toBe(7.5);
    const unknown = { report: { path: "relay" as const, cpu_seconds: { ...cpu, relay_target: null } } };
    expect(only([runOf("mixed", SLOW, "relay", unknown)]).cpu_seconds).toBeNull();
  });

  it("keeps runs that prove the whole memory out of its figures", () => {
    const proved = { wireMiB: 500, downtimeMs: 9000, proved: ["guest memory, source against target"] };
    const cell = only([
      runOf("mixed", SLOW, "relay", { wireMiB: 20 }),
      runOf("mixed", SLOW, "relay", proved, { proof: true }),
    ]);
    expect(cell).toMatchObject({ runs: 1, memory_proofs: { runs: 1, good: 1 } });
    expect(cell.wire_bytes?.max).toBe(20 * MIB);
    const merely = runOf("mixed", SLOW, "relay", { proved: [CHECK] }, { proof: true });
    expect(only([merely]).memory_proofs).toEqual({ runs: 1, good: 0 });
  });
});

describe("the comparison", () => {
  const arms = (figures: Readonly<Record<string, FakeFigures>>, contents = "mixed", link = SLOW) =>
    Object.entries(figures).map(([arm, figure]) => runOf(contents, link, arm, figure));
  const ratios = (runs: readonly WireRun[], arm: string) =>
    documentOf(runs).cells.find((cell) => cell.arm === arm)?.ratio_to_best_stock;

  it("is with the best stock arm of each figure on its own, never with godwit's", () => {
    const runs = arms({
      "multifd-zstd3": { wireMiB: 40, totalMs: 9000 },
      multifd: { wireMiB: 80, totalMs: 4000 },
      direct: { wireMiB: 10, totalMs: 1000 },
      relay: { wireMiB: 20, totalMs: 3000 },
    });
    expect(ratios(runs, "relay")).toMatchObject({ wire_bytes: 0.5, total_time_ms: 0.75 });
    expect(ratios(runs, "multifd-zstd3")).toMatchObject({ wire_bytes: 1 });
    expect(documentOf(runs).summary.best_stock).toMatchObject([
      { wire_bytes: "multifd-zstd3", total_time_ms: "multifd" },
    ]);
  });

  it("does not let an arm that lost the guest be the best", () => {
    const runs = arms({
      xbzrle: { wireMiB: 1, proved: [] },
      multifd: { wireMiB: 80 },
      relay: { wireMiB: 40 },
    });
    expect(ratios(runs, "relay")).toMatchObject({ wire_bytes: 0.5 });
  });

  it("counts against a fetch what its guest waited for", () => {
    const runs = arms({
      "post-copy": { downtimeMs: 10, blocktimeMs: 990 },
      multifd: { downtimeMs: 100 },
      relay: { downtimeMs: 50 },
    });
    expect(ratios(runs, "relay")).toMatchObject({ downtime_ms: 0.5 });
    expect(ratios(runs, "post-copy")).toMatchObject({ downtime_ms: 10 });
    const silent = arms({ "post-copy": { downtimeMs: 10, blocktimeMs: null }, multifd: { downtimeMs: 100 } });
    expect(ratios(silent, "multifd")).toMatchObject({ downtime_ms: 1 });
  });

  it("has no ratio where no stock arm was done", () => {
    const runs = [
      runOf("mixed", SLOW, "multifd", new Error("no")),
      runOf("mixed", SLOW, "relay", { wireMiB: 20 }),
    ];
    expect(ratios(runs, "relay")).toEqual({
      wire_bytes: null,
      total_time_ms: null,
      downtime_ms: null,
      bytes_after_first_round: null,
    });
  });

  it("of other contents or another link is another cell's", () => {
    const runs = [
      ...arms({ multifd: { wireMiB: 10 } }, "unique"),
      ...arms({ multifd: { wireMiB: 20 } }, "mixed", "1Gbit/s"),
      ...arms({ multifd: { wireMiB: 100 }, relay: { wireMiB: 50 } }),
    ];
    expect(ratios(runs, "relay")).toMatchObject({ wire_bytes: 0.5 });
  });
});

describe("the summary", () => {
  const pair = (contents: string, link: string, ratio: number, after = 1): WireRun[] => [
    runOf(contents, link, "multifd", { wireMiB: 100, afterFirstMiB: 100 }),
    runOf(contents, link, "relay", { wireMiB: 100 * ratio, afterFirstMiB: 100 * after }),
  ];
  const relayOf = (runs: readonly WireRun[]) => {
    const [relay, ...others] = documentOf(runs).summary.arms;
    expect(others).toEqual([]);
    if (relay === undefined) throw new Error("no summary");
    return relay;
  };
  const goal = (runs: readonly WireRun[], name: string) =>
    relayOf(runs).goals.find((one) => one.goal.startsWith(name));

  it("is the geometric mean over shaped cells; what is not shaped only counts against the worst cell", () => {
    const runs = [
      ...pair("mixed", SLOW, 0.25),
      ...pair("unique", "1Gbit/s", 1),
      ...pair("redis", "unshaped", 3),
    ];
    expect(relayOf(runs)).toMatchObject({ shaped_cells: 2, geometric_mean: { wire_bytes: 0.5 } });
    expect(goal(runs, "wire bytes, geometric")).toMatchObject({ value: 0.5, met: true });
    const worst = goal(runs, "wire bytes and total time");
    expect(worst).toMatchObject({ value: 3, met: false });
    expect(worst?.misses).toEqual([expect.stringMatching(/^redis at unshaped/)]);
  });

  it("also says how far from plain pre-copy, which papers compare with", () => {
    const runs = [...pair("mixed", SLOW, 0.25), runOf("mixed", SLOW, "qemu-default", { wireMiB: 200 })];
    expect(relayOf(runs)).toMatchObject({
      geometric_mean: { wire_bytes: 0.25 },
      geometric_mean_to_plain: { wire_bytes: expect.closeTo(0.125, 9) as number },
    });
  });

  it("judges the bytes after the first round where little changes, and nowhere else", () => {
    const few = [...pair("partial", SLOW, 0.5, 0.2), ...pair("unique", SLOW, 1, 1)];
    expect(goal(few, "bytes after")).toMatchObject({ value: 0.2, met: true });
    const missed = goal([...few, ...pair("redis", SLOW, 0.5, 0.4)], "bytes after");
    expect(missed).toMatchObject({ value: 0.4, met: false, misses: [expect.stringMatching(/^redis/)] });
  });

  it.each(["relay-return", "relay-sibling"])(
    "of %s shows the ratio and sets no goal, and is none of the relay's own figures",
    (arm) => {
      const runs = [...pair("mixed", SLOW, 0.5), runOf("mixed", SLOW, arm, { wireMiB: 2 })];
      const [relay, back] = documentOf(runs).summary.arms;
      expect(back).toMatchObject({ arm, goals: [] });
      expect(back?.geometric_mean.wire_bytes).toBeCloseTo(0.02, 9);
      const [alone] = documentOf(pair("mixed", SLOW, 0.5)).summary.arms;
      expect(relay).toEqual(alone);
    },
  );

  it("says of what nobody measured that it is not known, not that it is met", () => {
    const alone = [runOf("mixed", SLOW, "relay")];
    for (const one of relayOf(alone).goals) expect(one).toMatchObject({ value: null, met: null });
  });
});

describe("the document", () => {
  const runs = [
    runOf("mixed", SLOW, "relay"),
    runOf("booted-server", SLOW, "relay", {}, { seed: 9 }),
    runOf("booted-server", SLOW, "qemu-default", { report: reportOf({ outcome: "failed", reason: '<&"' }) }),
  ];
  it("has the published shape, cells in the order of the tables", () => {
    const document = documentOf(runs);
    expect(wireDocument.parse(document)).toEqual(document);
    expect(document.cells.map(({ contents, arm }) => `${contents} ${arm}`)).toEqual([
      "booted-server qemu-default",
      "booted-server relay",
      "mixed relay",
    ]);
    expect(document.seeds).toEqual([1, 9]);
    expect(documentOf([]).cells).toEqual([]);
  });

  it("makes a plot with a bar or a mark for every cell and panel, and nothing that breaks it", () => {
    const all = linkNames.flatMap((link) =>
      contentsNames.flatMap((contents) =>
        wireArmNames.map((arm, index) =>
          runOf(
            contents,
            link,
            arm,
            arm === "xbzrle" ? new Error("a < b & c") : { wireMiB: 10 + 40 * index },
          ),
        ),
      ),
    );
    const plot = plotOf(documentOf(all));
    const panels = 3;
    const cells = linkNames.length * contentsNames.length * wireArmNames.length;
    expect(plot.match(/<g>/g)).toHaveLength(cells * panels);
    expect(plot.match(/: no run was done<\/title>/g)).toHaveLength((cells / wireArmNames.length) * panels);
    expect(plot).toContain("prefers-color-scheme:dark");
    expect(plot).not.toMatch(/NaN|undefined|Infinity/);
    for (const [, width] of plot.matchAll(
      /<rect class="bar [a-z]\d" x="[\d.]+" y="[\d.]+" width="([\d.]+)"/g,
    )) {
      expect(Number(width)).toBeLessThanOrEqual(300);
    }
  });
});

describe("bytes after the first round", () => {
  const t0 = 1_000_000_000n;
  const readings = [0, 1000, 2000, 3000, 4000].map((ms) => ({
    atNs: t0 + BigInt(ms) * 1_000_000n,
    bytes: ms * 10,
  }));
  const base = reportOf();
  const [round] = base.rounds;
  if (round === undefined) throw new Error("no round");
  const report = reportOf({
    clock: { boot_id: "b", t0_ns: String(t0) },
    rounds: [{ ...round, round: 1, startMs: 200, durationMs: 1900 }],
    metrics: { ...base.metrics, total_time_ms: 4000 },
  });

  it("are those from the end of the first pass to the end", () => {
    expect(besideOf(report, readings)).toEqual({ wire_bytes: 40_000, bytes_after_first_round: 20_000 });
  });

  it("are the same when the first pass is not among the report's rounds", () => {
    const late = {
      ...report,
      rounds: [
        { ...round, round: 1, startMs: 2100, durationMs: 300, sentBytes: 40 * MIB },
        { ...round, round: 2, startMs: 2400, durationMs: 100, sentBytes: 2 * MIB },
      ],
    };
    expect(besideOf(late, readings).bytes_after_first_round).toBe(20_000);
  });

  it("are not known of a fetch, nor without counters", () => {
    const fetched = { ...report, finished_by: "post-copy" as const };
    expect(besideOf(fetched, readings)).toEqual({ wire_bytes: 40_000, bytes_after_first_round: null });
    expect(besideOf(report, [])).toEqual({ wire_bytes: null, bytes_after_first_round: null });
  });
});
