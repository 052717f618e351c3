import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { viewOf } from "../../test/deciding/arbitrary.ts";
import { migrateSettings } from "../api/migration.ts";
import { observation as observationShape, report as reportShape } from "../api/report.ts";
import { withObservation } from "./observation.ts";
import { assembleReport } from "./report.ts";
import type { ReportInput } from "./report.ts";
import type { Observation, Report } from "../api/report.ts";
import type { z } from "zod";

const input: ReportInput = {
  id: "m-1",
  vm: "db-1",
  source: "a",
  target: "b",
  settings: migrateSettings.parse({}),
  finishedBy: "pre-copy",
  outcome: "done",
  reason: "The copier switched over by itself.",
  code: null,
  startedAt: "2026-03-01T12:00:00Z",
  environment: {
    qemu_source: "7.2.0",
    qemu_target: "7.2.0",
    accelerator: "tcg",
    ram_bytes: 2 ** 30,
    vcpus: 1,
    link: { shaped: false, rate_bytes_per_second: null, delay_ms: null, note: "" },
  },
  sourceTimes: {
    bootId: "one",
    acceptedNs: 1_000_000_000n,
    stoppedNs: "9007199254740993000000",
    settledNs: 5_000_000_000n,
    releasedNs: 6_000_000_000n,
  },
  targetTimes: { bootId: "one", resumedNs: "9007199254740993250000" },
  timeline: [
    { bootId: "one", atNs: 3_000_000_000n, host: "b", what: "loaded" },
    { bootId: "one", atNs: 1_000_000_000n, host: "a", what: "accepted" },
  ],
  rounds: viewOf([90, 10]).rounds,
  qemu: { downtimeMs: 12, transferredBytes: 1000, zeroPages: 3, normalPages: 4, pageRequests: 7 },
  counters: { start: { outBytes: 500, inBytes: 50 }, end: { outBytes: 1535, inBytes: 60 } },
  cpuSeconds: { source: 1.5, target: null },
  way: { path: "direct", reason: "", wire: null, targetRelayCpuSeconds: null },
  checks: [],
  notes: ["first"],
};

const made = (more: Partial<ReportInput> = {}): Report => assembleReport({ ...input, ...more });

const seen = (asked: z.input<typeof observationShape>): Observation => observationShape.parse(asked);

describe("the report", () => {
  test("has the published shape", () => {
    expect(reportShape.safeParse(made()).error).toBeUndefined();
  });

  test("takes downtime from STOP to RESUME without losing nanoseconds", () => {
    expect(made().metrics.downtime_ms.vm).toBe(0.25);
  });

  test("never subtracts the clocks of two machines, and says so", () => {
    const report = made({ targetTimes: { bootId: "two", resumedNs: 1n } });
    expect(report.metrics.downtime_ms).toMatchObject({ vm: null, qemu: 12 });
    expect(report.notes.join()).toContain("share no clock");
  });

  test("leaves entries of another clock out of the timeline, and counts them", () => {
    const report = made({ timeline: [...input.timeline, { bootId: "two", atNs: 1n, host: "b", what: "x" }] });
    expect(report.timeline).toHaveLength(2);
    expect(report.notes.join()).toContain("1 timeline entry");
  });

  test("tells the timeline in order, from the moment it was accepted", () => {
    expect(made().timeline).toEqual([
      { atMs: 0, host: "a", what: "accepted" },
      { atMs: 2000, host: "b", what: "loaded" },
    ]);
  });

  test("counts total time to the last need of the source, eviction to its release", () => {
    expect(made().metrics).toMatchObject({ total_time_ms: 4000, eviction_time_ms: 5000 });
  });

  test("shows null, not zero, for everything nobody observed", () => {
    const report = made({
      sourceTimes: { bootId: "one", acceptedNs: 1n },
      targetTimes: null,
      qemu: null,
      counters: null,
    });
    const { downtime_ms, total_time_ms, eviction_time_ms, bytes } = report.metrics;
    expect({ downtime_ms, total_time_ms, eviction_time_ms, bytes }).toEqual({
      downtime_ms: { vm: null, client: null, guest: null, qemu: null },
      total_time_ms: null,
      eviction_time_ms: null,
      bytes: { wire_out: null, wire_in: null, qemu: null, storage: null, side: null },
    });
    expect(report.pages.zero).toBeNull();
  });

  test("speaks of post-copy only where something was fetched", () => {
    expect(made().metrics.postcopy).toBeNull();
    expect(made({ finishedBy: "hybrid" }).metrics.postcopy).toEqual({ blocktime_ms: null, page_requests: 7 });
  });
});

describe("through the relays", () => {
  const wire = {
    pages: { zero: 1, raw: 2, compressed: 3, delta: 4, duplicate: 5, unchanged: 6, referenced: 7 },
    qemuBytes: 4000,
    wireBytes: 1000,
    ratio: 4,
    relayCpuSeconds: 0.5,
    relayRssBytes: 1,
  };
  const way = { path: "relay", reason: "It shrinks.", wire, targetRelayCpuSeconds: 0.25 } as const;

  test("the report has what they made of the pages, what that cost, and why they were chosen", () => {
    const report = made({ way });
    expect(report).toMatchObject({
      path: "relay",
      path_reason: "It shrinks.",
      pages: wire.pages,
      cpu_seconds: { relay_source: 0.5, relay_target: 0.25 },
    });
    expect(reportShape.safeParse(report).error).toBeUndefined();
  });

  test("what the target had before the first page is a note, if it had something", () => {
    const notes = (keptPages: number, bootPages: number) =>
      made({ way: { ...way, wire: { ...wire, keptPages, bootPages } }, notes: [] }).notes.join();
    expect(notes(321, 0)).toContain("The target had 321 pages of earlier migrations");
    expect(notes(0, 123)).toContain("The target had 123 pages of the files this guest was started from");
    expect(notes(0, 0)).toBe("");
  });

  test("the interface is held against what the relay sent, not against what QEMU wrote", () => {
    const counters = { start: { outBytes: 0, inBytes: 0 }, end: { outBytes: 1030, inBytes: 0 } };
    expect(made({ way, counters, notes: [] }).notes).toEqual([]);
    const notes = made({ way: { ...way, wire: { ...wire, wireBytes: 2000 } }, counters, notes: [] }).notes;
    expect(notes.join()).toContain("the relay says");
  });

  test("what a relay that was killed counted is unknown, not zero", () => {
    const report = made({ way: { ...way, wire: null, targetRelayCpuSeconds: null } });
    expect(report.pages.zero).toBeNull();
    expect(report.cpu_seconds.relay_source).toBeNull();
    expect(report.notes.join()).toContain("left no counters");
  });
});

describe("bytes on the wire", () => {
  const notes = (outBytes: number): string =>
    made({
      notes: [],
      counters: { start: { outBytes: 0, inBytes: 0 }, end: { outBytes, inBytes: 0 } },
    }).notes.join();

  test("may exceed QEMU's count by its overhead", () => {
    expect(made().metrics.bytes).toMatchObject({ wire_out: 1035, wire_in: 10, qemu: 1000 });
    expect(notes(1000)).toBe("");
    expect(notes(1050)).toBe("");
  });

  test("get a note when more than 5 % apart, or less than QEMU wrote", () => {
    expect(notes(1051)).toContain("more than 5 % apart");
    expect(notes(999)).toContain("cannot carry less");
  });

  test("are unknown when the counters started again", () => {
    const report = made({
      counters: { start: { outBytes: 9, inBytes: 9 }, end: { outBytes: 1, inBytes: 10 } },
    });
    expect(report.metrics.bytes.wire_out).toBeNull();
    expect(report.notes.join()).toContain("started again");
  });
});

describe("the verdict", () => {
  const check = (ok: boolean) => ({ what: "memory", ok, detail: "" });

  test("is verified by checks alone, and failed by one that failed", () => {
    expect(made().correctness.verdict).toBe("not-checked");
    expect(made({ checks: [check(true)] }).correctness.verdict).toBe("verified");
    expect(made({ checks: [check(true), check(false)] }).correctness.verdict).toBe("failed");
  });

  test("once failed stays failed, whatever observers add", () => {
    const bad = made({ checks: [check(false)] });
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom("verified", "not-checked", "failed"), { maxLength: 4 }),
        (verdicts) => {
          let report = bad;
          for (const verdict of verdicts) {
            const correctness = { verdict, checks: [check(true)], lost_acknowledged_writes: 0 };
            report = withObservation(report, seen({ observer: "o", correctness }));
          }
          expect(report.correctness.verdict).toBe("failed");
        },
      ),
    );
  });

  test.each([
    ["a bare verdict", { verdict: "failed", checks: [], lost_acknowledged_writes: null }, "failed"],
    ["lost writes", { verdict: "verified", checks: [], lost_acknowledged_writes: 2 }, "failed"],
    [
      "a claim without a check",
      { verdict: "verified", checks: [], lost_acknowledged_writes: null },
      "not-checked",
    ],
  ] as const)("weighs an observer's %s", (_name, { verdict, lost_acknowledged_writes }, expected) => {
    const correctness = { verdict, checks: [], lost_acknowledged_writes };
    const report = withObservation(made(), seen({ observer: "o", correctness }));
    expect(report.correctness.verdict).toBe(expected);
    expect(reportShape.safeParse(report).error).toBeUndefined();
  });
});

describe("an observation", () => {
  test("adds its metrics and leaves the agents' own alone", () => {
    const report = withObservation(
      made(),
      seen({
        observer: "client",
        downtime_ms: { client: 31 },
        disruption_ms: { span: 400, sum: 300 },
        notes: ["calm"],
      }),
    );
    expect(report.metrics.downtime_ms).toEqual({ vm: 0.25, client: 31, guest: null, qemu: 12 });
    expect(report.metrics.disruption_ms).toEqual({ span: 400, sum: 300 });
    expect(report.notes).toEqual(["first", "client: calm"]);
  });

  test("brings what a client waited, and one without it takes nothing away", () => {
    const client_latency = { slice_ms: 10, longest_ms: [0.2, null, 31] };
    const first = withObservation(made(), seen({ observer: "client", client_latency }));
    expect(withObservation(first, seen({ observer: "guest" })).client_latency).toEqual(client_latency);
    expect(made()).not.toHaveProperty("client_latency");
  });

  test("that corrects an earlier one says so", () => {
    const once = withObservation(made(), seen({ observer: "x", downtime_ms: { client: 31 } }));
    const twice = withObservation(once, seen({ observer: "y", downtime_ms: { client: 33 } }));
    expect(twice.metrics.downtime_ms.client).toBe(33);
    expect(twice.notes.at(-1)).toBe("y: downtime_ms.client is 33, was 31 before.");
  });

  test("does not change the report it is added to", () => {
    const before = made();
    const copy = structuredClone(before);
    withObservation(before, seen({ observer: "x", degradation_ratio: 0.2, notes: ["n"] }));
    expect(before).toEqual(copy);
  });
});
