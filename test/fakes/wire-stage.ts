/** A stage for campaigns over the wire without a lab: keeps a diary, answers each move as it is told to. */
import { armNamed } from "../../src/bench/wire/arms.ts";
import { provedBy, type Moved, type Stage } from "../../src/bench/wire/stage.ts";
import { type WireRun, wireRun } from "../../src/bench/wire/document.ts";
import type { Report } from "../../src/api/report.ts";
import { reportOf } from "./fixtures.ts";

const MIB = 2 ** 20;

export interface FakeFigures {
  readonly wireMiB?: number;
  readonly totalMs?: number;
  readonly downtimeMs?: number;
  readonly afterFirstMiB?: number | null;
  readonly blocktimeMs?: number | null;
  readonly proved?: readonly string[];
  readonly report?: Partial<Report>;
}

/** What a guest's own check is called in a report; any name that is not about ticks. */
export const CHECK = "every page holds what the guest's writer last wrote there";

export function movedOf(figures: FakeFigures = {}): Moved {
  const { wireMiB = 100, totalMs = 8000, downtimeMs = 40, afterFirstMiB = 10 } = figures;
  const base = reportOf();
  const report = reportOf({
    correctness: {
      verdict: "verified",
      checks: [{ what: CHECK, ok: true, detail: "" }],
      lost_acknowledged_writes: null,
    },
    ...figures.report,
    metrics: {
      ...base.metrics,
      downtime_ms: { vm: downtimeMs, client: downtimeMs + 50, guest: null, qemu: null },
      total_time_ms: totalMs,
      bytes: { ...base.metrics.bytes, wire_out: wireMiB * MIB, wire_in: 0 },
      postcopy:
        figures.blocktimeMs === undefined ? null : { blocktime_ms: figures.blocktimeMs, page_requests: 7 },
    },
  });
  return {
    report,
    beside: {
      wire_bytes: wireMiB * MIB,
      bytes_after_first_round: afterFirstMiB === null ? null : afterFirstMiB * MIB,
      agent_cpu_seconds: 0.5,
      proved: [...(figures.proved ?? provedBy(report))],
    },
  };
}

export const runOf = (
  contents: string,
  link: string,
  arm: string,
  figures: FakeFigures | Error = {},
  parts: Partial<WireRun> = {},
): WireRun => {
  const moved = figures instanceof Error ? null : movedOf(figures);
  const rates: Readonly<Record<string, number>> = { "100Mbit/s": 12_500_000, "1Gbit/s": 125_000_000 };
  return wireRun.parse({
    contents,
    says: `holds ${contents}`,
    link,
    shaping: {
      shaped: rates[link] !== undefined,
      rate_bytes_per_second: rates[link] ?? null,
      delay_ms: 0,
      note: "",
    },
    arm,
    shows: `the arm ${arm}`,
    stock: armNamed(arm)?.stock ?? true,
    repetition: 0,
    seed: 1,
    at: "2026-03-01T12:00:00Z",
    proof: false,
    report: moved?.report ?? null,
    beside: moved?.beside ?? null,
    problem: figures instanceof Error ? figures.message : "",
    ...parts,
  });
};

export class FakeStage implements Stage {
  readonly diary: string[] = [];
  readonly #answer: (arm: string, proof: boolean) => FakeFigures | Error;

  constructor(answer: (arm: string, proof: boolean) => FakeFigures | Error = () => ({})) {
    this.#answer = answer;
  }

  up: Stage["up"] = ({ name, bytesPerSecond }) => {
    this.diary.push(`up ${name}`);
    return Promise.resolve({
      shaped: bytesPerSecond !== null,
      rate_bytes_per_second: bytesPerSecond,
      delay_ms: 0,
      note: "",
    });
  };
  guest: Stage["guest"] = ({ name }) => {
    this.diary.push(`guest ${name}`);
    return Promise.resolve();
  };
  move: Stage["move"] = ({ name }, proof) => {
    this.diary.push(proof ? `prove ${name}` : `move ${name}`);
    const answer = this.#answer(name, proof);
    return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(movedOf(answer));
  };
  endGuest: Stage["endGuest"] = () => {
    this.diary.push("end guest");
    return Promise.resolve();
  };
  down: Stage["down"] = () => {
    this.diary.push("down");
    return Promise.resolve();
  };
}
