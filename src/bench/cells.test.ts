import { describe, expect, it } from "vitest";

import { reportOf } from "../../test/fakes/fixtures.ts";
import type { Report } from "../api/report.ts";
import { cellOf, documentOf } from "./cells.ts";
import { benchDocument, type RunRecord, runRecord } from "./document.ts";
import { because, pauseParts } from "./pause.ts";

const sample = (parts: Partial<Report> = {}): Report =>
  reportOf({ clock: { boot_id: "one", t0_ns: "1000" }, ...parts });
const base = sample();
const with_ = (downtime: number, client: number | null, rest: Partial<Report> = {}): Report =>
  sample({
    ...rest,
    metrics: {
      ...base.metrics,
      downtime_ms: { ...base.metrics.downtime_ms, vm: downtime, client },
    },
  });

const run = (report: Report | null, problem = ""): RunRecord =>
  runRecord.parse({
    workload: "idle",
    says: "does nothing",
    arm: "pre-copy",
    shows: "the rule",
    repetition: 0,
    seed: 1,
    at: "2026-03-01T12:00:00Z",
    link: { shaped: true, rate_bytes_per_second: 12_500_000, delay_ms: 0, note: "" },
    report,
    problem,
  });

describe("a cell", () => {
  it("counts every run, and takes figures only from those that arrived", () => {
    const late = with_(9000, 9000, { outcome: "timed-out", reason: "The timeout has passed." });
    const cell = cellOf("idle", "pre-copy", [run(with_(40, 55)), run(late), run(null, "refused")]);
    expect(cell).toMatchObject({
      runs: 3,
      failed: 2,
      outcomes: { done: 1, "timed-out": 1, refused: 1 },
      downtime_ms: { median: 40, max: 40, n: 1 },
    });
  });

  it("takes client minus host run by run, not from the medians", () => {
    const runs = [with_(10, 100), with_(20, 21), with_(30, 31)].map((report) => run(report));
    expect(cellOf("idle", "pre-copy", runs).client_minus_host_ms).toEqual({
      median: 1,
      min: 1,
      max: 90,
      n: 3,
    });
  });

  it("says why its last run failed when none arrived", () => {
    const late = with_(1, 1, { outcome: "timed-out", reason: "The timeout has passed." });
    const cell = cellOf("idle", "pre-copy", [run(null, "refused"), run(late)]);
    expect(cell.because).toBe("The timeout has passed.");
    expect(cell.downtime_ms).toBeNull();
  });
});

describe("the document", () => {
  it("has the shape that is published, with cells in the order asked for", () => {
    const runs = [run(with_(40, 55)), { ...run(with_(1, 2)), arm: "post-copy", seed: 9 }];
    const document = documentOf(runs, ["idle"], ["post-copy", "pre-copy", "hybrid"]);
    expect(benchDocument.parse(document)).toEqual(document);
    expect(document.cells.map((cell) => cell.arm)).toEqual(["post-copy", "pre-copy"]);
    expect(document.seeds).toEqual([1, 9]);
  });

  it("is refused when no run has a report", () => {
    expect(() => documentOf([run(null, "x")], ["idle"], ["pre-copy"])).toThrow(/has a report/);
  });
});

describe("the pause", () => {
  const at = (atMs: number, host: string, what: string) => ({ atMs, host, what });
  const moved = sample({
    source: "a",
    target: "b",
    outcome: "done",
    timeline: [
      at(0, "a", "accepted"),
      at(90, "a", "1 of 1 rounds are copied: the rest is fetched."),
      at(100, "a", "guest paused"),
      at(160, "a", "QEMU completed"),
      at(161, "a", "source handing-over"),
      at(165, "b", "target accepted"),
      at(167, "b", "guest running"),
    ],
  });

  it("is cut at the steps of the hand-over, with nothing left over", () => {
    const parts = Object.values(pauseParts(moved));
    expect(parts).toEqual([60, 1, 4, 2]);
  });

  it("of a fetch ends long before QEMU has completed", () => {
    const timeline = [
      at(100, "a", "QEMU postcopy-active"),
      at(101, "a", "guest paused"),
      at(103, "a", "source handing-over"),
      at(180, "b", "target accepted"),
      at(182, "b", "guest running"),
      at(9000, "a", "QEMU completed"),
    ];
    expect(Object.values(pauseParts({ ...moved, timeline }))).toEqual([2, 77, 2]);
  });

  it("is not cut for a guest that stayed", () => {
    expect(pauseParts({ ...moved, outcome: "cancelled" })).toEqual({});
  });

  it("is explained by the rule's sentence, or else by the copier's own rule", () => {
    expect(because(moved)).toMatch(/^1 of 1 rounds/);
    expect(because({ ...moved, technique: "pre-copy", timeline: moved.timeline.slice(2) })).toMatch(
      /QEMU's own/,
    );
  });
});
