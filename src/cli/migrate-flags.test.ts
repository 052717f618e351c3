/** From flags to a request: what each means, which contradict each other, which need units. */
import { expect, test } from "vitest";

import { CodedError } from "../std/errors.ts";
import { parsePolicy, requestFromFlags, type MigrateFlags } from "./migrate-flags.ts";

const request = (flags: MigrateFlags, policy?: unknown) => requestFromFlags({ to: "b", ...flags }, policy);
const refusal = (flags: MigrateFlags, policy?: unknown): CodedError => {
  try {
    request(flags, policy);
  } catch (error) {
    if (error instanceof CodedError) return error;
    throw error;
  }
  throw new Error("not refused");
};

test("nothing but the target gives the defaults", () => {
  expect(request({})).toEqual({
    target: "b",
    technique: "pre-copy",
    maxDowntimeMs: 300,
    stopRules: {},
    switchRule: { when: "after-rounds", rounds: 1 },
    policy: { initial: [], convergence: [], last: [{ do: "cancel" }] },
    verifyMemory: false,
    wire: "auto",
  });
});

test("quantities arrive in the units of the request", () => {
  expect(
    request({
      bandwidth: "1Gbit/s",
      maxDowntime: "0.2s",
      adaptiveDowntime: "2s",
      remaining: "8MiB",
      timeout: "10m",
      rounds: "30",
      bytesFactor: "2.5",
    }),
  ).toMatchObject({
    bandwidthBytesPerSecond: 125e6,
    maxDowntimeMs: 200,
    adaptiveDowntimeCeilingMs: 2000,
    stopRules: { rounds: 30, bytesFactor: 2.5, remainingBytes: 8 * 2 ** 20 },
    timeoutMs: 600e3,
  });
});

test.each([
  { bandwidth: "100" },
  { maxDowntime: "300" },
  { adaptiveDowntime: "2" },
  { remaining: "8" },
  { timeout: "10" },
  { timeout: "10m", onTimeout: "force=5" },
])("a bare number is refused: %o", (flags) => {
  expect(refusal(flags).code).toBe("UNIT_MISSING");
});

test.each<[MigrateFlags, string]>([
  [{ postcopy: true }, "hybrid"],
  [{ postcopy: true, technique: "post-copy" }, "post-copy"],
  [{ postcopyAfterPrecopy: true }, "hybrid"],
  [{ postcopy: true, timeoutPostcopy: true, timeout: "1m" }, "pre-copy"],
  [{ live: true }, "pre-copy"],
])("virsh's spelling %o means %s", (flags, technique) => {
  expect(request(flags).technique).toBe(technique);
});

test("what happens at the timeout", () => {
  const last = (flags: MigrateFlags) => request({ timeout: "1m", ...flags }).policy.last;
  expect(last({})).toEqual([{ do: "cancel" }]);
  expect(last({ onTimeout: "cancel" })).toEqual([{ do: "cancel" }]);
  expect(last({ onTimeout: "post-copy" })).toEqual([{ do: "post-copy" }]);
  expect(last({ onTimeout: "force=5s" })).toEqual([{ do: "force", downtimeCeilingMs: 5000 }]);
  expect(last({ onTimeout: "throttle=80%" })).toEqual([{ do: "throttle", percentMax: 80 }]);
  expect(last({ timeoutPostcopy: true })).toEqual([{ do: "post-copy" }]);
  expect(last({ timeoutSuspend: true })).toEqual([{ do: "force", downtimeCeilingMs: 2_000_000 }]);
});

test("when hybrid switches", () => {
  const rule = (text: string) => request({ technique: "hybrid", switch: text }).switchRule;
  expect(rule("after-rounds=3")).toEqual({ when: "after-rounds", rounds: 3 });
  expect(rule("stalled")).toEqual({ when: "stalled" });
  expect(rule("shorter-stall")).toEqual({ when: "shorter-stall" });
});

test("auto-converge throttles from the start, up to the share given", () => {
  expect(request({ autoConverge: true }).policy.initial).toEqual([{ do: "throttle", percentMax: 99 }]);
  expect(request({ autoConverge: "60%" }).policy.initial).toEqual([{ do: "throttle", percentMax: 60 }]);
});

test("a policy file is the policy", () => {
  const policy = parsePolicy({ last: [{ do: "post-copy" }] });
  expect(request({}, policy).policy).toEqual({ initial: [], convergence: [], last: [{ do: "post-copy" }] });
  expect(() => parsePolicy({ lasst: [] })).toThrow("lasst");
});

test.each<[MigrateFlags, string, string]>([
  [{ postcopy: true, technique: "pre-copy" }, "--postcopy", "--technique pre-copy"],
  [{ postcopy: true, technique: "stop-and-copy" }, "--postcopy", "--technique stop-and-copy"],
  [
    { postcopyAfterPrecopy: true, technique: "post-copy" },
    "--postcopy-after-precopy",
    "--technique post-copy",
  ],
  [{ postcopyAfterPrecopy: true, switch: "stalled" }, "--postcopy-after-precopy", "--switch"],
  [{ live: true, technique: "stop-and-copy" }, "--live", "--technique stop-and-copy"],
  [{ switch: "stalled" }, "--switch", "--technique pre-copy"],
  [{ switch: "stalled", technique: "post-copy" }, "--switch", "--technique post-copy"],
  [{ rounds: "3", technique: "stop-and-copy" }, "--rounds", "--technique stop-and-copy"],
  [{ remaining: "8MiB", technique: "post-copy" }, "--remaining", "--technique post-copy"],
  [{ autoConverge: true, technique: "post-copy" }, "--auto-converge", "--technique post-copy"],
  [{ timeout: "1m", onTimeout: "cancel", timeoutSuspend: true }, "--on-timeout cancel", "--timeout-suspend"],
  [{ timeout: "1m", timeoutPostcopy: true, timeoutSuspend: true }, "--timeout-suspend", "--timeout-postcopy"],
  [{ verifyMemory: true, technique: "hybrid" }, "--verify-memory", "--technique hybrid"],
  [{ verifyMemory: true, postcopy: true }, "--verify-memory", "--postcopy"],
  [
    { verifyMemory: true, timeout: "1m", onTimeout: "post-copy" },
    "--verify-memory",
    "--on-timeout post-copy",
  ],
  [{ maxDowntime: "3s", adaptiveDowntime: "2s" }, "--adaptive-downtime 2s", "--max-downtime 3s"],
  [{ onTimeout: "post-copy" }, "--on-timeout post-copy", "--timeout"],
])("%o is refused, naming %s and %s", (flags, one, other) => {
  const refused = refusal(flags);
  expect(refused.code).toBe("USAGE");
  expect(refused.message).toContain(one);
  expect(refused.message).toContain(other);
});

test.each<[MigrateFlags, string]>([
  [{ onTimeout: "cancel" }, "--on-timeout cancel"],
  [{ autoConverge: true }, "--auto-converge"],
])("a policy file and %o contradict each other", (flags, named) => {
  const refused = refusal(flags, { last: [] });
  expect(refused.message).toContain("--policy");
  expect(refused.message).toContain(named);
});

test.each<MigrateFlags>([
  { rounds: "0" },
  { rounds: "many" },
  { bytesFactor: "x" },
  { technique: "hybrid", switch: "after-rounds" },
  { technique: "hybrid", switch: "stalled=3" },
  { timeout: "1m", onTimeout: "explode" },
  { timeout: "1m", onTimeout: "force" },
  { timeout: "1m", onTimeout: "throttle=0" },
  { autoConverge: "db-1" },
])("%o is not understood, and says what would be", (flags) => {
  expect(refusal(flags).code).toBe("USAGE");
});

test.each<[MigrateFlags, string]>([
  [{ technique: "teleport" }, "--technique teleport"],
  [{ wire: "pigeon" }, "--wire pigeon"],
  [{ bandwidth: "0MiB/s" }, "--bandwidth 0MiB/s"],
  [{ maxDowntime: "0ms" }, "--max-downtime 0ms"],
  [{ maxDowntime: "2000d" }, "--max-downtime 2000d"],
  [{ timeout: "0s" }, "--timeout 0s"],
  [{ bytesFactor: "0" }, "--bytes-factor 0"],
])("%o is refused in the words it was typed in", (flags, words) => {
  const refused = refusal(flags);
  expect(refused.code).toBe("USAGE");
  expect(refused.message).toContain(words);
});
