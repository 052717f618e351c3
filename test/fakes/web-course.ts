/**
 * The made-up course of a migration, second by second, for pages that have to show one: rounds that shrink, a pause,
 * relays that send less than they take. Only its shape is true: every value is parsed with the schemas.
 */
import { clientLatency, LATENCY_SLICES_MAX, type ClientLatency } from "../../src/api/latency.ts";
import type { MigrationView, Progress, TechniqueName } from "../../src/api/migration.ts";
import { recording, type Recording } from "../../src/api/recording.ts";
import type { Report } from "../../src/api/report.ts";
import { reportOf } from "./fixtures.ts";

const MIB = 2 ** 20;
const STEP_MS = 250;
const PAUSE_MS = 180;

export interface CourseSettings {
  readonly ramBytes: number;
  readonly linkBytesPerSecond: number;
  readonly dirtyBytesPerSecond: number;
  /** How many times smaller the relays make it; 1 for the direct way. */
  readonly gain: number;
  readonly technique: TechniqueName;
}

/** A number from 0 to 1 that is always the same for the same seed. */
export function chance(seed: number): () => number {
  let state = (seed * 2_654_435_761) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state / 2 ** 32;
  };
}

export function courseOf(settings: CourseSettings, seed = 1): readonly Progress[] {
  const random = chance(seed);
  const { ramBytes, linkBytesPerSecond, dirtyBytesPerSecond, gain } = settings;
  const samples: Progress[] = [];
  const speed = linkBytesPerSecond * gain;
  let elapsedMs = 0;
  let sentBytes = 0;
  let round = 1;
  let roundBytes = ramBytes * 0.86;
  const put = (parts: Partial<Progress> & { phase: Progress["phase"] }): void => {
    const pages = Math.round(sentBytes / 4096);
    samples.push({
      fraction: 0,
      round,
      ramBytes,
      sentBytes,
      remainingBytes: 0,
      sendBytesPerSecond: 0,
      dirtyBytesPerSecond: 0,
      throttlePercent: 0,
      elapsedMs,
      limit: "",
      ...(gain === 1
        ? {}
        : {
            wire: {
              pages: {
                zero: Math.round(pages * 0.22),
                raw: Math.round(pages * 0.08),
                compressed: Math.round(pages * 0.34),
                delta: Math.round(pages * (round > 1 ? 0.12 : 0.02)),
                duplicate: Math.round(pages * 0.19),
                unchanged: Math.round(pages * (round > 1 ? 0.06 : 0.01)),
                referenced: 0,
              },
              qemuBytes: sentBytes,
              wireBytes: Math.round(sentBytes / gain),
              ratio: sentBytes === 0 ? null : gain,
              relayCpuSeconds: elapsedMs / 2200,
              relayRssBytes: 180 * MIB,
            },
          }),
      ...parts,
    });
  };
  put({ phase: "preparing", limit: "Both hosts prepare; no memory moves yet." });
  elapsedMs += STEP_MS;
  while (round <= 6) {
    let left = roundBytes;
    const startMs = elapsedMs;
    while (left > 0) {
      const send = speed * (0.92 + 0.12 * random());
      const dirty = dirtyBytesPerSecond * (0.75 + 0.5 * random());
      const bytes = Math.min(left, (send * STEP_MS) / 1000);
      left -= bytes;
      sentBytes += Math.round(bytes);
      elapsedMs += STEP_MS;
      const expectedMs = (left / speed) * 1000 + (round === 1 ? ramBytes / speed : 1) * 400 + PAUSE_MS;
      put({
        phase: "copying",
        fraction: Math.min(0.95, elapsedMs / (elapsedMs + expectedMs)),
        remainingBytes: Math.round(left),
        sendBytesPerSecond: send,
        dirtyBytesPerSecond: round === 1 ? 0 : dirty,
        eta: { ms: expectedMs, lowMs: expectedMs * 0.7, highMs: expectedMs * 1.8 },
        limit:
          round === 1
            ? `First round, nothing known of the guest's writing yet: the link moves ${Math.round(send / MIB)} MiB/s.`
            : `The guest writes ${Math.round(dirty / MIB)} MiB/s, the link moves ${Math.round(send / MIB)} MiB/s.`,
      });
    }
    const next = Math.min(ramBytes * 0.5, (dirtyBytesPerSecond * (elapsedMs - startMs)) / 1000);
    if (next < speed * 0.15) break;
    roundBytes = next;
    round += 1;
  }
  const after = (phase: Progress["phase"], fraction: number, limit: string, ms: number): void => {
    put({ phase, fraction, limit });
    elapsedMs += ms;
  };
  after("switching", 0.96, "The guest is paused; 3.1 MiB and its devices move.", 120);
  after("handing-over", 0.98, "All state has moved; the target is asked to run the guest.", 60);
  after("handed-over", 0.98, "The guest runs at the target; the source clears up.", 200);
  put({ phase: "done", fraction: 1, limit: "Nothing: it is done." });
  return samples;
}

/** A calm service, a little slower while memory is copied; who asks during the pause waits for its end. */
export function latencyOf(course: readonly Progress[], untilMs: number): ClientLatency {
  const sliceMs = [50, 100, 200, 500, 1000, 5000].find((ms) => untilMs / ms <= LATENCY_SLICES_MAX) ?? 10_000;
  const pausedMs = course.find(({ phase }) => phase === "switching")?.elapsedMs ?? Infinity;
  const random = chance(11);
  return clientLatency.parse({
    slice_ms: sliceMs,
    longest_ms: Array.from({ length: Math.floor(untilMs / sliceMs) }, (_, index) => {
      const atMs = index * sliceMs;
      const calm = 0.4 + 2.2 * random() ** 4;
      const inside = atMs + sliceMs > pausedMs && atMs < pausedMs + PAUSE_MS;
      return inside ? Math.max(calm, pausedMs + PAUSE_MS - Math.max(atMs, pausedMs)) : calm;
    }),
  });
}

export const recordingOf = (view: MigrationView, course: readonly Progress[]): Recording =>
  recording.parse({
    view,
    intervalMs: STEP_MS,
    samples: course.slice(0, 1200).map((progress) => ({ atMs: progress.elapsedMs, progress })),
    timeline: timelineOf(view, course),
  });

function timelineOf(view: MigrationView, course: readonly Progress[]): Report["timeline"] {
  const pausedMs = course.find(({ phase }) => phase === "switching")?.elapsedMs ?? 0;
  const { source, target } = view;
  return [
    { atMs: 0, host: source, what: "accepted" },
    { atMs: 41, host: target, what: "target receiving" },
    { atMs: 52, host: source, what: "source copying" },
    { atMs: pausedMs - 1, host: source, what: "source switching" },
    { atMs: pausedMs, host: source, what: "guest paused" },
    { atMs: pausedMs + 116.4, host: target, what: "QEMU completed" },
    { atMs: pausedMs + 122.4, host: source, what: "QEMU completed" },
    { atMs: pausedMs + 121.2, host: target, what: "target loaded" },
    { atMs: pausedMs + 126, host: source, what: "source handing-over" },
    { atMs: pausedMs + 139.1, host: target, what: "target accepted" },
    { atMs: pausedMs + 142.8, host: target, what: "guest running" },
    { atMs: pausedMs + 230, host: source, what: "source released" },
  ];
}

export function reportOfCourse(view: MigrationView, course: readonly Progress[], gain: number): Report {
  const last = course.at(-1);
  const sent = last?.sentBytes ?? 0;
  const ends = [...new Set(course.filter((one) => one.phase === "copying").map((one) => one.round))].map(
    (round) => course.filter((one) => one.phase === "copying" && one.round === round),
  );
  let before = 0;
  const rounds: Report["rounds"] = ends.map((readings, index) => {
    const [first, end] = [readings[0], readings.at(-1)];
    const sentBytes = (end?.sentBytes ?? 0) - before;
    before = end?.sentBytes ?? 0;
    const startMs = (first?.elapsedMs ?? STEP_MS) - STEP_MS;
    return {
      round: first?.round ?? 1,
      startMs,
      durationMs: (end?.elapsedMs ?? 0) - startMs,
      sentBytes,
      dirtyBytes: ends[index + 1]?.[0]?.remainingBytes ?? 3.1 * MIB,
      dirtyBytesPerSecond: end?.dirtyBytesPerSecond ?? 0,
      sendBytesPerSecond: end?.sendBytesPerSecond ?? 0,
      throttlePercent: 0,
    };
  });
  const done = view.outcome === "done";
  const base = reportOf();
  return reportOf({
    ...base,
    id: view.id,
    vm: view.vm,
    source: view.source,
    target: view.target,
    technique: view.technique,
    finished_by: view.technique,
    path: gain === 1 ? "direct" : "relay",
    outcome: view.outcome ?? "done",
    code: view.code ?? null,
    reason: view.reason ?? `${view.vm} runs on ${view.target}`,
    started_at: view.startedAt,
    environment: {
      ...base.environment,
      ram_bytes: last?.ramBytes ?? 0,
      link: { shaped: true, rate_bytes_per_second: 125e6, delay_ms: 0.2, note: "" },
    },
    timeline: timelineOf(view, course),
    rounds,
    metrics: {
      downtime_ms: done
        ? { vm: 142.8, client: 151.2, guest: 144, qemu: 118 }
        : { vm: null, client: null, guest: null, qemu: null },
      disruption_ms: done ? { span: 900, sum: 400 } : { span: null, sum: null },
      total_time_ms: done ? (last?.elapsedMs ?? 0) - 200 : null,
      eviction_time_ms: done ? (last?.elapsedMs ?? 0) : null,
      bytes: {
        wire_out: Math.round((sent / gain) * 1.035),
        wire_in: Math.round(sent * 0.004),
        qemu: sent,
        storage: null,
        side: null,
      },
      degradation_ratio: done ? 0.083 : null,
      postcopy: null,
    },
    pages: { ...base.pages, ...last?.wire?.pages },
    ...(done ? { client_latency: latencyOf(course, (last?.elapsedMs ?? 0) + 1000) } : {}),
    correctness: done
      ? {
          verdict: "verified",
          checks: [
            { what: "one owner", ok: true, detail: `${view.source} stopped before ${view.target} ran` },
            { what: "acknowledged writes", ok: true, detail: "41,208 read back, none lost" },
          ],
          lost_acknowledged_writes: 0,
        }
      : { verdict: "not-checked", checks: [], lost_acknowledged_writes: null },
    notes: ["Made up for a page to show; nothing was migrated."],
  });
}
