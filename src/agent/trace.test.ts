import { describe, expect, test } from "vitest";

import { machine, reportOf } from "../../test/fakes/fixtures.ts";
import { migrateSettings } from "../api/migration.ts";
import type { Source } from "../migration/source-types.ts";
import { noEvidence } from "./evidence.ts";
import type { MigrationRecord } from "./store.ts";
import { traceOf } from "./trace.ts";
import { traceIdsOf, traceparentOf } from "./traceparent.ts";

const common = {
  id: "m-1",
  vm: "db-1",
  peer: "b",
  settings: migrateSettings.parse({}),
  startedAt: "2026-01-01T00:00:00.000Z",
  t0Ns: "1000000000",
  bootId: "boot",
};
const origin = { machine, accelerator: "tcg", qemuVersion: "7.2.0", targetQemuVersion: "7.2.0" } as const;
const at = (ms: number, what: string): { atNs: string; what: string } => ({
  atNs: String(1_000_000_000 + ms * 1e6),
  what,
});
const source = (state: Source): MigrationRecord => ({
  ...common,
  side: "source",
  origin,
  voidOwed: false,
  state,
  evidence: {
    ...noEvidence,
    rounds: [
      {
        round: 1,
        startMs: 1020,
        durationMs: 30,
        sentBytes: 4096,
        dirtyBytes: 0,
        dirtyBytesPerSecond: 0,
        sendBytesPerSecond: 136_533,
        throttlePercent: 50,
      },
    ],
  },
  timeline: [
    at(0, "accepted"),
    at(10, "source copying"),
    at(60, "source switching"),
    at(61, "guest paused"),
    at(70, "source handing-over"),
    at(80, "source handed-over"),
    at(90, "source done"),
    at(95, "source released"),
  ],
});
const OFFSET = 5_000_000_000n;

describe("the source's trace", () => {
  const trace = traceOf(source({ phase: "done" }), reportOf(), "a", OFFSET);

  test("has a span for each phase, one after the other, from acceptance to the last word", () => {
    expect(
      trace.phases.map(({ name, startNs, endNs }) => [
        name,
        Number(startNs - 6_000_000_000n) / 1e6,
        Number(endNs - 6_000_000_000n) / 1e6,
      ]),
    ).toEqual([
      ["source preparing", 0, 10],
      ["source copying", 10, 60],
      ["source switching", 60, 70],
      ["source handing-over", 70, 80],
      ["source handed-over", 80, 90],
    ]);
    expect(trace.root).toMatchObject({ name: "migration", startNs: 6_000_000_000n, endNs: 6_095_000_000n });
  });

  test("has what happened inside a phase as events, rounds among them, with units", () => {
    const events = new Map(trace.phases.map(({ name, events: of }) => [name, of.map((event) => event.name)]));
    expect(events.get("source switching")).toEqual(["guest paused"]);
    expect(events.get("source copying")).toEqual(["round 1"]);
    expect(trace.phases[1]?.events[0]?.attributes).toMatchObject({
      "godwit.duration_seconds": 0.03,
      "godwit.sent_bytes": 4096,
      "godwit.throttle_ratio": 0.5,
    });
  });

  test("carries the figures that were observed, and succeeded", () => {
    expect(trace.root.attributes).toMatchObject({
      "godwit.outcome": "done",
      "godwit.downtime_vm_seconds": 0.1235,
    });
    const blind = reportOf({ metrics: { ...reportOf().metrics, eviction_time_ms: null } });
    expect(traceOf(source({ phase: "done" }), blind, "a", OFFSET).root.attributes).not.toHaveProperty(
      "godwit.eviction_time_seconds",
    );
    expect(trace.status.code).toBe("ok");
    expect(trace).toMatchObject({ ...traceIdsOf("m-1"), parent: undefined });
  });

  test("is an error when it failed and when it waits, and neither when it was cancelled", () => {
    const aborted = (outcome: "failed" | "cancelled"): MigrationRecord =>
      source({ phase: "aborted", outcome, code: "X", reason: "why" });
    expect(traceOf(aborted("failed"), undefined, "a", 0n).status).toEqual({ code: "error", message: "why" });
    expect(traceOf(aborted("cancelled"), undefined, "a", 0n).status.code).toBe("unset");
    const waits = source({ phase: "needs-person", reason: "who?", canTakeBack: true });
    expect(traceOf(waits, undefined, "a", 0n).status.code).toBe("error");
  });
});

test("the target's trace hangs under the source's root, and stands alone without its word", () => {
  const target: MigrationRecord = {
    ...common,
    side: "target",
    peer: "a",
    state: { phase: "done" },
    traceparent: traceparentOf("m-1"),
    timeline: [
      at(5, "target receiving"),
      at(50, "target loaded"),
      at(55, "target accepted"),
      at(56, "guest running"),
      at(57, "target running"),
      at(58, "target done"),
    ],
  };
  const trace = traceOf(target, undefined, "b", OFFSET);
  expect(trace).toMatchObject({
    traceId: traceIdsOf("m-1").traceId,
    parent: traceIdsOf("m-1"),
    spanId: undefined,
  });
  expect(trace.phases.map((phase) => phase.name)).toEqual([
    "target preparing",
    "target receiving",
    "target loaded",
    "target accepted",
    "target running",
  ]);
  const { traceparent: _, ...alone } = target;
  expect(traceOf(alone, undefined, "b", OFFSET).parent).toBeUndefined();
});
