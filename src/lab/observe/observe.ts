/**
 * One migration as seen from outside: reads the observers' logs for its window, asks the guest whether everything is
 * still there, and says all of it as an observation for the report. The arithmetic is in figures.ts.
 */
import { setTimeout as sleep } from "node:timers/promises";

import type { ClientLatency } from "../../api/latency.ts";
import type { Correctness, Observation } from "../../api/report.ts";
import { CodedError, toCodedError } from "../../std/errors.ts";
import { type LabGuest, type LabState, guestOf } from "../state.ts";
import { readWritesBack, verifyWriter } from "./client-place.ts";
import {
  type Answer,
  type Beacon,
  type Disruption,
  type Downtime,
  type Operation,
  type Span,
  clientDowntime,
  degradation,
  disruption,
  guestDowntime,
  lengthMs,
  lostProbes,
  proberStallMs,
  ticksGoneBack,
  without,
} from "./figures.ts";
import { latencyStrip } from "./latency.ts";
import { logFiles } from "./processes.ts";
import { observedBefore, rememberObserved } from "./observed.ts";
import { type Record3, msAfter, newestNs, readRecords } from "./records.ts";

/** Both as metrics are defined; shorter ones are named in the observation's notes. */
export const BASELINE_MS = 60_000;
export const TAIL_MS = 30_000;
/** The first second of a log is that of a cold guest and a cold client. */
const WARM_UP_MS = 1000;
/** Logs are written every 50 ms; a guest that no longer answers writes none. */
const LOG_GRACE_MS = 1000;
const POLL_MS = 50;
/** A prober this late was not measuring. */
const STALL_NOTE_MS = 5;
/** Of a migration's strip: a pause at its very end is to be seen as one. */
const STRIP_TAIL_MS = 1000;
/** An answer is in the log by then; before, its absence says nothing. */
const LOG_LAG_MS = 200;

export interface ObservedWindow {
  /** CLOCK_MONOTONIC of this machine: migration accepted, and no state needed from the source any more. */
  readonly t0Ns: bigint;
  readonly t6Ns: bigint;
  readonly tailMs?: number;
  readonly baselineMs?: number;
  /** A paired run without migration, of the same log; else the time just before t0 is the base. */
  readonly pairedBase?: { readonly fromNs: bigint; readonly toNs: bigint };
  readonly signal?: AbortSignal;
}

/** @throws CodedError when the guest has no observers; a figure that cannot be had is left out, with a note. */
export async function observe(lab: LabState, vm: string, window: ObservedWindow): Promise<Observation> {
  const guest = guestOf(lab, vm);
  const { observer } = guest;
  if (observer === null) throw new CodedError("VM_UNKNOWN", { vm, where: "the observers" });
  const tailMs = window.tailMs ?? TAIL_MS;
  await logsReach(observer.folder, window.t6Ns + BigInt(Math.round(tailMs * 1e6)), window.signal);
  const logs = readLogs(guest, observer, window, tailMs);
  rememberObserved(observer.folder, window.t0Ns, window.t6Ns + BigInt(Math.round(tailMs * 1e6)));
  const figures = judge(logs, observer.periodMs, observer.tickMs);
  const correctness = await judgeCorrectness(guest, observer.folder, logs.beacons);
  return {
    observer: "lab",
    ...observationFigures(figures),
    link: {
      shaped: lab.link.shaped,
      rate_bytes_per_second: lab.link.rateBytesPerSecond,
      delay_ms: lab.link.delayMs,
      note: lab.link.note,
    },
    ...(logs.answers.length === 0
      ? {}
      : {
          client_latency: latencyStrip(
            logs.answers,
            { fromMs: 0, toMs: Math.min(logs.settledMs + STRIP_TAIL_MS, logs.window.toMs) },
            observer.periodMs,
          ),
        }),
    correctness,
    notes: notesOf(logs, figures, lab.rootless),
  };
}

/** What a client has waited since a migration began, while it runs; undefined where nobody probes or nothing is known yet. */
export function latencySoFar(lab: LabState, vm: string, t0Ns: bigint): ClientLatency | undefined {
  const observer = lab.guests.find((guest) => guest.name === vm)?.observer;
  if (observer === undefined || observer === null) return undefined;
  const nowNs = process.hrtime.bigint();
  const answers = readRecords(logFiles(observer.folder).probe, t0Ns, nowNs, t0Ns).map(asAnswer);
  const newestMs = answers.at(-1)?.receivedMs ?? 0;
  const toMs = Math.max(newestMs, msAfter(nowNs, t0Ns) - LOG_LAG_MS);
  return answers.length === 0 ? undefined : latencyStrip(answers, { fromMs: 0, toMs }, observer.periodMs);
}

/** Waits for the end of the window, and a little for the logs to show it. */
async function logsReach(folder: string, endNs: bigint, signal?: AbortSignal): Promise<void> {
  const { probe } = logFiles(folder);
  const latestNs = endNs + BigInt(LOG_GRACE_MS) * 1_000_000n;
  while ((newestNs(probe) ?? 0n) < endNs && process.hrtime.bigint() < latestNs) {
    await sleep(POLL_MS, undefined, signal === undefined ? {} : { signal });
  }
}

export interface Logs {
  readonly window: Span;
  readonly baseline: readonly Span[];
  readonly base: readonly Span[];
  readonly paired: boolean;
  readonly settledMs: number;
  readonly answers: readonly Answer[];
  readonly beacons: readonly Beacon[];
  readonly operations: readonly Operation[];
  readonly operationsAre: "writes" | "probes";
}

const asAnswer = (r: Record3): Answer => ({ seq: r.number, sentMs: r.firstMs, receivedMs: r.lastMs });
const asBeacon = (r: Record3): Beacon => ({ tick: r.number, receivedMs: r.lastMs });
const asOperation = (r: Record3): Operation => ({ dueMs: r.firstMs, doneMs: r.lastMs });

function readLogs(
  guest: LabGuest,
  observer: NonNullable<LabGuest["observer"]>,
  window: ObservedWindow,
  tailMs: number,
): Logs {
  const { t0Ns, t6Ns } = window;
  const ms = (value: number): bigint => BigInt(Math.round(value * 1e6));
  const files = logFiles(observer.folder);
  const settledMs = msAfter(t6Ns, t0Ns);
  const toMs = settledMs + tailMs;
  const read = (file: string, fromNs: bigint, untilNs: bigint): Record3[] =>
    readRecords(file, fromNs, untilNs, t0Ns);
  const operationsAre = guest.workload === "redis" ? "writes" : "probes";
  const operationsFile = operationsAre === "writes" ? files.writes : files.probe;

  const baselineFromNs = t0Ns - ms(window.baselineMs ?? BASELINE_MS);
  const lengthNs = t6Ns - t0Ns + ms(tailMs);
  const baseFromNs = window.pairedBase?.fromNs ?? t0Ns - lengthNs;
  const baseToNs = window.pairedBase?.toNs ?? t0Ns;
  const earliestNs = baselineFromNs < baseFromNs ? baselineFromNs : baseFromNs;
  const endNs = t0Ns + ms(toMs);
  const latestNs = baseToNs > endNs ? baseToNs : endNs;
  const operations = read(operationsFile, earliestNs, latestNs).map(asOperation);
  const firstMs = (operations[0]?.doneMs ?? 0) + WARM_UP_MS;
  const earlier = observedBefore(observer.folder, t0Ns);
  const clean = (fromNs: bigint, toNs: bigint): Span[] =>
    without({ fromMs: Math.max(msAfter(fromNs, t0Ns), firstMs), toMs: msAfter(toNs, t0Ns) }, earlier);
  return {
    window: { fromMs: 0, toMs },
    baseline: clean(baselineFromNs, t0Ns),
    base: clean(baseFromNs, baseToNs),
    paired: window.pairedBase !== undefined,
    settledMs,
    answers: read(files.probe, t0Ns, endNs).map(asAnswer),
    beacons: observer.beacon ? read(files.beacon, t0Ns, endNs).map(asBeacon) : [],
    operations,
    operationsAre,
  };
}

export interface Figures {
  readonly client: Downtime | null;
  readonly guest: Downtime | null;
  readonly lostProbes: number;
  readonly proberStallMs: number;
  readonly disruption: Disruption | null;
  readonly degradation: number | null;
}

export function judge(logs: Logs, periodMs: number, tickMs: number): Figures {
  return {
    client: clientDowntime(logs.answers, logs.window, periodMs),
    guest: guestDowntime(logs.beacons, logs.window, tickMs),
    lostProbes: lostProbes(logs.answers, logs.window),
    proberStallMs: proberStallMs(logs.answers, logs.window, periodMs),
    disruption: disruption(logs.operations, logs.baseline, logs.window, logs.settledMs),
    degradation: degradation(logs.operations, logs.window, logs.base),
  };
}

function observationFigures(figures: Figures): Omit<Observation, "observer" | "notes"> {
  return {
    downtime_ms: {
      ...(figures.client === null ? {} : { client: figures.client.ms }),
      ...(figures.guest === null ? {} : { guest: figures.guest.ms }),
    },
    ...(figures.disruption === null
      ? {}
      : { disruption_ms: { span: figures.disruption.spanMs, sum: figures.disruption.sumMs } }),
    ...(figures.degradation === null ? {} : { degradation_ratio: figures.degradation }),
  };
}

const seconds = (...spans: readonly Span[]): string => `${(lengthMs(spans) / 1000).toFixed(1)} s`;

function notesOf(logs: Logs, figures: Figures, rootless: boolean): string[] {
  const notes = [
    `Client: UDP echo at 1 kHz on the guest's bridge, window ${seconds(logs.window)} from t0; ` +
      `${figures.lostProbes} probe(s) lost; resolution 1 ms.`,
  ];
  const open = (what: string, downtime: Downtime | null): void => {
    if (downtime === null) notes.push(`${what}: nothing was heard, so its downtime is not known.`);
    else if (downtime.openEnded && downtime.ms > STALL_NOTE_MS) {
      notes.push(`${what}: nothing was heard to the window's end; its downtime is a lower bound.`);
    }
  };
  open("Client", figures.client);
  if (rootless) notes.push("Without root the guest's beacon is not heard; its own downtime is not known.");
  else open("Guest", figures.guest);
  if (figures.proberStallMs > STALL_NOTE_MS) {
    notes.push(
      `The prober itself was late by up to ${figures.proberStallMs.toFixed(1)} ms: the machine was too busy to ` +
        "measure finer than that.",
    );
  }
  notes.push(disruptionNote(logs, figures.disruption));
  if (!logs.paired) {
    notes.push(
      `Degradation compares with ${seconds(...logs.base)} just before t0 of the same run, not with a paired run.`,
    );
  }
  return notes;
}

function disruptionNote(logs: Logs, found: Disruption | null): string {
  const by = logs.operationsAre === "writes" ? "acknowledged writes" : "answered probes";
  if (found === null) {
    return `Disruption is not known: the baseline of ${by} before t0 is too short (${seconds(...logs.baseline)}).`;
  }
  return (
    `Disruption by ${by} in windows of 100 ms against ${seconds(...logs.baseline)} before t0; severity ` +
    `${found.lostServiceSeconds.toFixed(2)} lost seconds of service; degraded windows in the baseline itself: ` +
    `${(found.baselineFalsePositive * 100).toFixed(1)} %` +
    `${found.stillDisrupted ? "; the window ended before two clean seconds" : ""}.`
  );
}

async function judgeCorrectness(
  guest: LabGuest,
  folder: string,
  beacons: readonly Beacon[],
): Promise<Correctness> {
  const checks: Correctness["checks"] = [];
  let lost: number | null = null;
  let deep = false;
  if (beacons.length > 0) {
    const back = ticksGoneBack(beacons);
    checks.push({
      what: "the guest's ticks only go forward, each seen once",
      ok: back === 0,
      detail: `${beacons.length} beacons, ${back} out of order`,
    });
  }
  try {
    if (guest.workload === "redis") {
      const read = await readWritesBack(guest, logFiles(folder).writes);
      lost = read.lost;
      deep = true;
      checks.push({
        what: "every acknowledged write is read back",
        ok: read.lost === 0,
        detail:
          `${read.acknowledged} acknowledged, ${read.lost} lost` +
          (read.firstLost === null ? "" : `, first number ${read.firstLost}`),
      });
    }
    if (guest.workload === "writer") {
      const { pages, bad, firstBad, checksum } = await verifyWriter(guest);
      deep = true;
      checks.push({
        what: "every page holds what the guest's writer last wrote there",
        ok: bad === 0,
        detail: `${pages} pages, ${bad} bad${firstBad === null ? "" : `, first ${firstBad}`}, sum ${checksum}`,
      });
    }
  } catch (error) {
    checks.push({ what: "the guest could be asked", ok: false, detail: toCodedError(error).message });
  }
  const failed = checks.some((check) => !check.ok);
  return {
    verdict: failed ? "failed" : deep ? "verified" : "not-checked",
    checks,
    lost_acknowledged_writes: lost,
  };
}
