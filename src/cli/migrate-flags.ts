/**
 * From what was typed to a MigrateRequest: units, virsh's spellings, and contradictions, which are refused naming
 * both flags. Pure; what the values mean for a migration is decided elsewhere.
 *
 * virsh's words: `--postcopy` allows post-copy, so it makes the technique hybrid unless one is named;
 * `--postcopy-after-precopy` is hybrid after one pass; `--timeout-postcopy` copies until the timeout and then
 * fetches; `--timeout-suspend` pauses at the timeout whatever remains; `--live` is what we do anyway.
 */
import type { z } from "zod";

import { migrateRequest, migrationPolicy, type MigrateRequest, type PolicyAction } from "../api/migration.ts";
import { CodedError } from "../std/errors.ts";
import { contradiction, parseCount, usage, valueRefused } from "./flag-words.ts";
import { nativeFromFlags } from "./native-flags.ts";
import { parseBytes, parseDuration, parseRate } from "../std/units.ts";

export interface MigrateFlags {
  readonly to?: string;
  readonly technique?: string;
  readonly bandwidth?: string;
  readonly maxDowntime?: string;
  readonly adaptiveDowntime?: string;
  readonly rounds?: string;
  readonly bytesFactor?: string;
  readonly remaining?: string;
  readonly switch?: string;
  readonly timeout?: string;
  readonly onTimeout?: string;
  readonly verifyMemory?: true;
  readonly wire?: string;
  readonly multifdChannels?: string;
  readonly compression?: string;
  readonly xbzrleCache?: string;
  readonly parallel?: true;
  readonly parallelConnections?: string;
  readonly compressed?: true;
  readonly compMethods?: string;
  readonly compZlibLevel?: string;
  readonly compZstdLevel?: string;
  readonly compXbzrleCache?: string;
  readonly live?: true;
  readonly postcopy?: true;
  readonly postcopyAfterPrecopy?: true;
  readonly autoConverge?: true | string;
  readonly timeoutSuspend?: true;
  readonly timeoutPostcopy?: true;
}

/** virsh's --timeout-suspend knows no ceiling; this is the longest pause a request can allow. */
const ANY_PAUSE_MS = 2_000_000;
/** As far as QEMU slows a guest down. */
const THROTTLE_PERCENT_MAX = 99;

/** @param policyFile the parsed content of --policy FILE, or undefined without one */
export function requestFromFlags(flags: MigrateFlags, policyFile?: unknown): MigrateRequest {
  const technique = techniqueOf(flags);
  refuseContradictions(flags, technique, policyFile !== undefined);
  const timeoutAction = onTimeout(flags);
  const value = {
    target: flags.to,
    technique,
    bandwidthBytesPerSecond: flags.bandwidth && parseRate(flags.bandwidth),
    maxDowntimeMs: flags.maxDowntime && parseDuration(flags.maxDowntime),
    adaptiveDowntimeCeilingMs: flags.adaptiveDowntime && parseDuration(flags.adaptiveDowntime),
    stopRules: {
      rounds: flags.rounds && parseCount("--rounds", flags.rounds),
      bytesFactor: flags.bytesFactor && parseFactor("--bytes-factor", flags.bytesFactor),
      remainingBytes: flags.remaining && parseBytes(flags.remaining),
    },
    switchRule: switchRule(flags),
    timeoutMs: flags.timeout && parseDuration(flags.timeout),
    policy:
      policyFile ??
      ({
        initial: flags.autoConverge === undefined ? [] : [autoConverge(flags.autoConverge)],
        last: timeoutAction && [timeoutAction],
      } as const),
    verifyMemory: flags.verifyMemory,
    wire: flags.wire,
    native: nativeFromFlags(flags),
  };
  const result = migrateRequest.safeParse(value);
  if (!result.success) {
    throw valueRefused(result.error, flags) ?? invalid("The migration asked for", result.error);
  }
  const request = result.data;
  const ceilingMs = request.adaptiveDowntimeCeilingMs;
  if (ceilingMs !== undefined && ceilingMs < request.maxDowntimeMs) {
    throw usage(
      `--adaptive-downtime ${flags.adaptiveDowntime} is a ceiling below --max-downtime ${flags.maxDowntime ?? `${request.maxDowntimeMs}ms (the default)`}.`,
      "Give a ceiling above the pause asked for.",
    );
  }
  return request;
}

/** A policy file as a person wrote it. */
export function parsePolicy(value: unknown): unknown {
  const result = migrationPolicy.safeParse(value);
  if (!result.success) throw invalid("The policy", result.error);
  return result.data;
}

const invalid = (what: string, error: z.ZodError): CodedError =>
  new CodedError("REQUEST_INVALID", { problem: `${what}: ${sentence(error)}` });

export const sentence = (error: z.ZodError): string =>
  error.issues
    .map(({ path, message }) => (path.length === 0 ? message : `${path.join(".")}: ${message}`))
    .join("; ");

function techniqueOf(flags: MigrateFlags): string | undefined {
  if (flags.postcopyAfterPrecopy) return flags.technique ?? "hybrid";
  // As in virsh, --postcopy with --timeout-postcopy copies until the timeout; hybrid would have switched long before.
  if (flags.postcopy) return flags.technique ?? (flags.timeoutPostcopy ? "pre-copy" : "hybrid");
  return flags.technique;
}

function refuseContradictions(flags: MigrateFlags, technique: string | undefined, hasPolicy: boolean): void {
  const named = flags.technique === undefined ? undefined : `--technique ${flags.technique}`;
  const fetches = technique === "post-copy" || technique === "hybrid";
  const copiesInRounds = technique === undefined || ["pre-copy", "hybrid", "auto"].includes(technique);

  if (flags.postcopy && named !== undefined && !fetches) throw contradiction("--postcopy", named);
  if (flags.postcopyAfterPrecopy && named !== undefined && technique !== "hybrid") {
    throw contradiction("--postcopy-after-precopy", named);
  }
  if (flags.live && technique === "stop-and-copy") throw contradiction("--live", "--technique stop-and-copy");
  if (flags.switch !== undefined && technique !== "hybrid") {
    throw usage(
      `--switch says when hybrid changes to post-copy; it contradicts ${named ?? "--technique pre-copy (the default)"}.`,
      "Add --technique hybrid, or leave --switch out.",
    );
  }
  if (flags.switch !== undefined && flags.postcopyAfterPrecopy) {
    throw contradiction("--postcopy-after-precopy", "--switch");
  }
  for (const [flag, value] of roundFlags(flags)) {
    if (value !== undefined && !copiesInRounds)
      throw contradiction(flag, named ?? `--technique ${technique}`);
  }
  refuseTimeoutContradictions(flags, hasPolicy);
  const fetching = fetches
    ? (named ?? (flags.postcopy ? "--postcopy" : "--postcopy-after-precopy"))
    : flags.timeoutPostcopy
      ? "--timeout-postcopy"
      : flags.onTimeout === "post-copy"
        ? "--on-timeout post-copy"
        : undefined;
  if (flags.verifyMemory && fetching !== undefined) throw contradiction("--verify-memory", fetching);
}

const roundFlags = (flags: MigrateFlags) =>
  [
    ["--rounds", flags.rounds],
    ["--bytes-factor", flags.bytesFactor],
    ["--remaining", flags.remaining],
    ["--adaptive-downtime", flags.adaptiveDowntime],
    ["--auto-converge", flags.autoConverge],
  ] as const;

/** At most one flag says what happens at the end of patience, and something must be able to end it. */
function refuseTimeoutContradictions(flags: MigrateFlags, hasPolicy: boolean): void {
  const last = [
    ...(flags.onTimeout === undefined ? [] : [`--on-timeout ${flags.onTimeout}`]),
    ...(flags.timeoutSuspend ? ["--timeout-suspend"] : []),
    ...(flags.timeoutPostcopy ? ["--timeout-postcopy"] : []),
  ];
  const [first, second] = hasPolicy
    ? ["--policy", last[0] ?? (flags.autoConverge === undefined ? undefined : "--auto-converge")]
    : last;
  if (first !== undefined && second !== undefined) throw contradiction(first, second);
  const ends = flags.timeout ?? flags.rounds ?? flags.bytesFactor;
  if (!hasPolicy && first !== undefined && ends === undefined) {
    throw usage(
      `${first} needs something that runs out: --timeout, --rounds or --bytes-factor.`,
      `Add a timeout, for example --timeout 10m.`,
    );
  }
}

function onTimeout(flags: MigrateFlags): PolicyAction | undefined {
  if (flags.timeoutSuspend) return { do: "force", downtimeCeilingMs: ANY_PAUSE_MS };
  if (flags.timeoutPostcopy) return { do: "post-copy" };
  if (flags.onTimeout === undefined) return undefined;
  const [word, value] = splitAt(flags.onTimeout);
  if (word === "cancel" && value === undefined) return { do: "cancel" };
  if (word === "post-copy" && value === undefined) return { do: "post-copy" };
  if (word === "force" && value !== undefined) {
    return { do: "force", downtimeCeilingMs: parseDuration(value) };
  }
  if (word === "throttle" && value !== undefined) {
    return { do: "throttle", percentMax: parsePercent("--on-timeout throttle=", value) };
  }
  throw usage(
    `--on-timeout ${flags.onTimeout} is not known.`,
    "Use cancel, post-copy, force=CEILING (for example force=5s) or throttle=PERCENT (for example throttle=80%).",
  );
}

function switchRule(flags: MigrateFlags): unknown {
  if (flags.postcopyAfterPrecopy) return { when: "after-rounds", rounds: 1 };
  if (flags.switch === undefined) return undefined;
  const [word, value] = splitAt(flags.switch);
  if (word === "after-rounds" && value !== undefined) {
    return { when: word, rounds: parseCount("--switch after-rounds=", value) };
  }
  if ((word === "stalled" || word === "shorter-stall") && value === undefined) return { when: word };
  throw usage(`--switch ${flags.switch} is not known.`, "Use after-rounds=N, stalled or shorter-stall.");
}

function autoConverge(value: true | string): PolicyAction {
  const percentMax = value === true ? THROTTLE_PERCENT_MAX : parsePercent("--auto-converge ", value);
  return { do: "throttle", percentMax };
}

function splitAt(text: string): [word: string, value: string | undefined] {
  const at = text.indexOf("=");
  return at === -1 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}

function parsePercent(flag: string, text: string): number {
  const percent = /^(\d{1,2})%?$/.exec(text)?.[1];
  if (percent === undefined || Number(percent) < 1) {
    throw usage(`${flag}${text}: a percentage from 1% to 99% is needed.`, `Write for example ${flag}80%.`);
  }
  return Number(percent);
}

function parseFactor(flag: string, text: string): number {
  if (!/^\d+(\.\d+)?$/.test(text)) {
    throw usage(`${flag} ${text}: a factor of the VM's memory is needed.`, `Write for example ${flag} 3.`);
  }
  return Number(text);
}
