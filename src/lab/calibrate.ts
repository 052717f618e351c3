/**
 * Proves the observers before a campaign: pauses a guest for known times and compares what each observer reads back.
 * How a guest is paused is handed in. The arithmetic is at the top and pure; below it is the doing.
 *
 * The truth is the host's own interval, from the monitor's STOP to its RESUME; the host's error is that interval
 * against the pause asked for, the client's and the guest's are theirs against the host's interval.
 */
import { setTimeout as sleep } from "node:timers/promises";

import { CodedError } from "../std/errors.ts";
import { clientDowntime, guestDowntime, percentile } from "./observe/figures.ts";
import { logFiles } from "./observe/processes.ts";
import { newestNs, readRecords } from "./observe/records.ts";
import { type LabState, guestOf } from "./state.ts";

export const PAUSES_MS = [1, 5, 10, 50, 200, 1000] as const;
export const REPEATS = 20;

export interface Reading {
  readonly injectedMs: number;
  readonly hostMs: number;
  /** Null when the observer heard nothing, or could not. */
  readonly clientMs: number | null;
  readonly guestMs: number | null;
}

export interface CalibrationRow {
  readonly injectedMs: number;
  readonly observer: "host" | "client" | "guest";
  /** Readings there are, of those made. */
  readonly readings: number;
  readonly of: number;
  readonly medianMs: number | null;
  readonly medianErrorMs: number | null;
  readonly minErrorMs: number | null;
  readonly maxErrorMs: number | null;
}

export function evaluate(readings: readonly Reading[]): CalibrationRow[] {
  const pauses = [...new Set(readings.map((reading) => reading.injectedMs))].sort((a, b) => a - b);
  return pauses.flatMap((injectedMs) => {
    const those = readings.filter((reading) => reading.injectedMs === injectedMs);
    return [
      row(
        injectedMs,
        "host",
        those.length,
        those.map(({ hostMs }) => [hostMs, hostMs - injectedMs]),
      ),
      row(
        injectedMs,
        "client",
        those.length,
        those.flatMap(({ clientMs, hostMs }) => pair(clientMs, hostMs)),
      ),
      row(
        injectedMs,
        "guest",
        those.length,
        those.flatMap(({ guestMs, hostMs }) => pair(guestMs, hostMs)),
      ),
    ];
  });
}

type Pair = readonly [readMs: number, errorMs: number];

const pair = (readMs: number | null, truthMs: number): Pair[] =>
  readMs === null ? [] : [[readMs, readMs - truthMs]];

function row(
  injectedMs: number,
  observer: CalibrationRow["observer"],
  of: number,
  pairs: readonly Pair[],
): CalibrationRow {
  const errors = pairs.map(([, error]) => error);
  const some = (value: () => number): number | null => (pairs.length === 0 ? null : value());
  return {
    injectedMs,
    observer,
    readings: pairs.length,
    of,
    medianMs: some(() =>
      percentile(
        pairs.map(([readMs]) => readMs),
        0.5,
      ),
    ),
    medianErrorMs: some(() => percentile(errors, 0.5)),
    minErrorMs: some(() => Math.min(...errors)),
    maxErrorMs: some(() => Math.max(...errors)),
  };
}

/** Every pause once per repeat, so that a machine that grows busier does so for all of them. */
export const pauseOrder = (pausesMs: readonly number[], repeats: number): number[] =>
  Array.from({ length: repeats }, () => [...pausesMs]).flat();

/** Pauses the guest; the times are CLOCK_MONOTONIC of this machine when each event was read. */
export type InjectPause = (
  ms: number,
) => Promise<{ readonly pausedAtNs: bigint; readonly resumedAtNs: bigint }>;

export interface CalibrationRequest {
  readonly injectPause: InjectPause;
  readonly pausesMs?: readonly number[];
  readonly repeats?: number;
  readonly onReading?: (reading: Reading, done: number, of: number) => void;
  readonly signal?: AbortSignal;
}

/** Looked at around a pause. Wide enough for a guest that needs time to answer, too narrow for two pauses. */
const BEFORE_MS = 20;
const AFTER_MS = 100;
/** Between two pauses the guest works off what came meanwhile. */
const REST_MS = 200;
const LOG_GRACE_MS = 1000;
const POLL_MS = 20;

export async function calibrate(
  lab: LabState,
  vm: string,
  request: CalibrationRequest,
): Promise<{ rows: CalibrationRow[]; readings: Reading[] }> {
  const { observer } = guestOf(lab, vm);
  if (observer === null) throw new CodedError("VM_UNKNOWN", { vm, where: "the observers" });
  const order = pauseOrder(request.pausesMs ?? PAUSES_MS, request.repeats ?? REPEATS);
  const options = request.signal === undefined ? {} : { signal: request.signal };
  const readings: Reading[] = [];
  for (const injectedMs of order) {
    await sleep(REST_MS, undefined, options);
    const { pausedAtNs, resumedAtNs } = await request.injectPause(injectedMs);
    const reading = await read(observer, injectedMs, pausedAtNs, resumedAtNs, request.signal);
    readings.push(reading);
    request.onReading?.(reading, readings.length, order.length);
  }
  return { rows: evaluate(readings), readings };
}

async function read(
  observer: { readonly folder: string; readonly periodMs: number; readonly tickMs: number },
  injectedMs: number,
  pausedAtNs: bigint,
  resumedAtNs: bigint,
  signal: AbortSignal | undefined,
): Promise<Reading> {
  const files = logFiles(observer.folder);
  const fromNs = pausedAtNs - BigInt(BEFORE_MS * 1_000_000);
  const toNs = resumedAtNs + BigInt(AFTER_MS * 1_000_000);
  const latestNs = toNs + BigInt(LOG_GRACE_MS * 1_000_000);
  while ((newestNs(files.probe) ?? 0n) < toNs && process.hrtime.bigint() < latestNs) {
    await sleep(POLL_MS, undefined, signal === undefined ? {} : { signal });
  }
  const window = { fromMs: -BEFORE_MS, toMs: Number(toNs - pausedAtNs) / 1e6 };
  const answers = readRecords(files.probe, fromNs, toNs, pausedAtNs).map((r) => ({
    seq: r.number,
    sentMs: r.firstMs,
    receivedMs: r.lastMs,
  }));
  const beacons = readRecords(files.beacon, fromNs, toNs, pausedAtNs).map((r) => ({
    tick: r.number,
    receivedMs: r.lastMs,
  }));
  return {
    injectedMs,
    hostMs: Number(resumedAtNs - pausedAtNs) / 1e6,
    clientMs: clientDowntime(answers, window, observer.periodMs)?.ms ?? null,
    guestMs: guestDowntime(beacons, window, observer.tickMs)?.ms ?? null,
  };
}
