/** Readings and settings for tests of the deciding code: by hand, and arbitrary ones that need not be physical. */
import * as fc from "fast-check";

import { migrateSettings, TECHNIQUES } from "../../src/api/migration.ts";
import type { MigrateSettings, PolicyAction } from "../../src/api/migration.ts";
import type { CopySample, CopyView, Round } from "../../src/migration/types.ts";

export const MiB = 2 ** 20;

/** A running copy of 1 GiB at 100 MiB/s whose rounds of one second each left this much dirty. */
export function viewOf(dirtyMiB: readonly number[], more: Partial<CopySample> = {}, sinceMs = 0): CopyView {
  const rounds: Round[] = dirtyMiB.map((dirty, index) => ({
    round: index + 1,
    startMs: index * 1000,
    durationMs: 1000,
    sentBytes: 100 * MiB,
    dirtyBytes: dirty * MiB,
    dirtyBytesPerSecond: dirty * MiB,
    sendBytesPerSecond: 100 * MiB,
    throttlePercent: 0,
  }));
  return {
    nowMs: rounds.length * 1000 + sinceMs,
    startedAtMs: 0,
    rounds,
    sample: {
      round: rounds.length + 1,
      ramBytes: 1024 * MiB,
      sentBytes: rounds.length * 100 * MiB,
      remainingBytes: (dirtyMiB.at(-1) ?? 1024) * MiB,
      sendBytesPerSecond: 100 * MiB,
      dirtyBytesPerSecond: (dirtyMiB.at(-1) ?? 0) * MiB,
      throttlePercent: 0,
      downtimeLimitMs: 250,
      ...more,
    },
  };
}

const durationMs = fc.integer({ min: 1, max: 60_000 });

const action: fc.Arbitrary<PolicyAction> = fc.oneof(
  fc.record({ do: fc.constant("set-downtime" as const), downtimeMs: durationMs }),
  fc.record({ do: fc.constant("throttle" as const), percentMax: fc.integer({ min: 1, max: 99 }) }),
  fc.record({ do: fc.constant("force" as const), downtimeCeilingMs: durationMs }),
  fc.constant({ do: "post-copy" as const }),
  fc.constant({ do: "cancel" as const }),
);

export const anySettings: fc.Arbitrary<MigrateSettings> = fc
  .record(
    {
      technique: fc.constantFrom(...TECHNIQUES),
      maxDowntimeMs: durationMs,
      bandwidthBytesPerSecond: fc.integer({ min: MiB, max: 500 * MiB }),
      adaptiveDowntimeCeilingMs: durationMs,
      timeoutMs: fc.integer({ min: 1, max: 60_000 }),
      stopRules: fc.record(
        {
          rounds: fc.integer({ min: 1, max: 10 }),
          bytesFactor: fc.double({ min: 0.1, max: 5, noNaN: true }),
          remainingBytes: fc.integer({ min: 0, max: 200 * MiB }),
        },
        { requiredKeys: [] },
      ),
      switchRule: fc.oneof(
        fc.record({
          when: fc.constant("after-rounds" as const),
          rounds: fc.integer({ min: 1, max: 10 }),
        }),
        fc.constant({ when: "stalled" as const }),
        fc.constant({ when: "shorter-stall" as const }),
      ),
      policy: fc.record({
        initial: fc.array(action, { maxLength: 3 }),
        convergence: fc.array(fc.record({ stalledRounds: fc.integer({ min: 1, max: 5 }), action }), {
          maxLength: 4,
        }),
        last: fc.array(action, { maxLength: 4 }),
      }),
    },
    { requiredKeys: [] },
  )
  .map((asked) => migrateSettings.parse(asked));

const rate = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 500 * MiB }));

/** A copy whose readings follow each other in time, with rates and sets as wild as a broken link makes them. */
export const anyCopy: fc.Arbitrary<readonly CopyView[]> = fc
  .array(
    fc.record({
      stepMs: fc.integer({ min: 0, max: 5000 }),
      roundEnds: fc.boolean(),
      dirty: fc.integer({ min: 0, max: 1024 * MiB }),
      send: rate,
      dirtying: rate,
      throttlePercent: fc.integer({ min: 0, max: 99 }),
      downtimeLimitMs: durationMs,
    }),
    { maxLength: 30 },
  )
  .map((steps) => {
    const rounds: Round[] = [];
    const views: CopyView[] = [];
    let nowMs = 1000;
    let roundStartMs = nowMs;
    let sentBytes = 0;
    let remainingBytes = 1024 * MiB;
    for (const step of steps) {
      nowMs += step.stepMs;
      const sent = Math.min(remainingBytes, Math.round((step.send * step.stepMs) / 1000));
      sentBytes += sent;
      remainingBytes -= sent;
      if (step.roundEnds) {
        remainingBytes = step.dirty;
        rounds.push({
          round: rounds.length + 1,
          startMs: roundStartMs,
          durationMs: nowMs - roundStartMs,
          sentBytes: sent,
          dirtyBytes: step.dirty,
          dirtyBytesPerSecond: step.dirtying,
          sendBytesPerSecond: step.send,
          throttlePercent: step.throttlePercent,
        });
        roundStartMs = nowMs;
      }
      views.push({
        nowMs,
        startedAtMs: 1000,
        rounds: [...rounds],
        sample: {
          round: rounds.length + 1,
          ramBytes: 1024 * MiB,
          sentBytes,
          remainingBytes,
          sendBytesPerSecond: step.send,
          dirtyBytesPerSecond: step.dirtying,
          throttlePercent: step.throttlePercent,
          downtimeLimitMs: step.downtimeLimitMs,
        },
      });
    }
    return views;
  });
