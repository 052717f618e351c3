/**
 * From what was typed into the start form to a MigrateRequest. Units are read by the same parser as the command line's;
 * every field that does not read says so beside itself.
 */
import {
  migrateRequest,
  type MigrateRequest,
  type PolicyAction,
  type TechniqueChoice,
} from "../../api/migration.ts";
import type { WireChoice } from "../../api/wire.ts";
import { parseBytes, parseDuration, parseRate } from "../../std/units.ts";
import { refusalOf } from "../data/refusal.ts";

export interface StartForm {
  readonly target: string;
  readonly technique: TechniqueChoice;
  readonly wire: WireChoice;
  readonly bandwidth: string;
  readonly maxDowntime: string;
  readonly adaptiveDowntime: string;
  readonly remaining: string;
  readonly timeout: string;
  readonly onTimeout: "cancel" | "post-copy" | "force";
  readonly forceCeiling: string;
  readonly switchWhen: "after-rounds" | "stalled" | "shorter-stall";
  readonly autoConverge: boolean;
  readonly verifyMemory: boolean;
}

export const emptyForm = (target: string): StartForm => ({
  target,
  technique: "pre-copy",
  wire: "auto",
  bandwidth: "",
  maxDowntime: "300ms",
  adaptiveDowntime: "",
  remaining: "",
  timeout: "",
  onTimeout: "cancel",
  forceCeiling: "5s",
  switchWhen: "after-rounds",
  autoConverge: false,
  verifyMemory: false,
});

export type Problems = Partial<Readonly<Record<keyof StartForm, string>>>;
export type Parsed =
  | { readonly ok: true; readonly request: MigrateRequest }
  | { readonly ok: false; readonly problems: Problems };

/** What a technique has no use for is not sent, and not asked for. */
export const asks = {
  rounds: (technique: TechniqueChoice): boolean => technique === "pre-copy" || technique === "hybrid",
  verify: (form: StartForm): boolean =>
    (form.technique === "pre-copy" || form.technique === "stop-and-copy") &&
    !(form.timeout.trim() !== "" && form.onTimeout === "post-copy"),
};

export function parseForm(form: StartForm): Parsed {
  const problems: { -readonly [K in keyof StartForm]?: string } = {};
  const read = (
    field: "bandwidth" | "maxDowntime" | "adaptiveDowntime" | "remaining" | "timeout" | "forceCeiling",
    parse: (text: string) => number,
  ): number | undefined => {
    if (form[field].trim() === "") return undefined;
    try {
      const value = parse(form[field]);
      if (value > 0) return value;
      problems[field] = "More than nothing is needed.";
    } catch (error) {
      const { what, next } = refusalOf(error);
      problems[field] = `${what} ${next}`;
    }
    return undefined;
  };

  const rounds = asks.rounds(form.technique);
  const bandwidthBytesPerSecond = read("bandwidth", parseRate);
  const maxDowntimeMs = read("maxDowntime", parseDuration);
  const ceilingMs = rounds ? read("adaptiveDowntime", parseDuration) : undefined;
  const remainingBytes = rounds ? read("remaining", parseBytes) : undefined;
  const timeoutMs = read("timeout", parseDuration);
  const force = timeoutMs !== undefined && form.onTimeout === "force";
  const forceMs = force ? read("forceCeiling", parseDuration) : undefined;
  if (force && forceMs === undefined) problems.forceCeiling ??= "The longest pause to force is needed.";
  if (form.target === "") problems.target = "A target is needed.";
  if (ceilingMs !== undefined && maxDowntimeMs !== undefined && ceilingMs < maxDowntimeMs) {
    problems.adaptiveDowntime = "A ceiling above the longest pause asked for is needed.";
  }
  if (Object.keys(problems).length > 0) return { ok: false, problems };

  const last = timeoutMs === undefined ? undefined : onTimeout(form.onTimeout, forceMs ?? 0);
  const parsed = migrateRequest.safeParse({
    target: form.target,
    technique: form.technique,
    wire: form.wire,
    bandwidthBytesPerSecond,
    maxDowntimeMs,
    adaptiveDowntimeCeilingMs: ceilingMs,
    stopRules: { remainingBytes },
    ...(form.technique === "hybrid" ? { switchRule: switchRule(form.switchWhen) } : {}),
    timeoutMs,
    policy: {
      initial: form.autoConverge && rounds ? [{ do: "throttle", percentMax: THROTTLE_PERCENT_MAX }] : [],
      ...(last === undefined ? {} : { last: [last] }),
    },
    verifyMemory: form.verifyMemory && asks.verify(form),
  });
  if (parsed.success) return { ok: true, request: parsed.data };
  for (const issue of parsed.error.issues) {
    const field = FIELDS[String(issue.path[0])] ?? "target";
    problems[field] ??= issue.message;
  }
  return { ok: false, problems };
}

/** As far as QEMU slows a guest down. */
const THROTTLE_PERCENT_MAX = 99;

const FIELDS: Readonly<Record<string, keyof StartForm>> = {
  maxDowntimeMs: "maxDowntime",
  adaptiveDowntimeCeilingMs: "adaptiveDowntime",
  bandwidthBytesPerSecond: "bandwidth",
  timeoutMs: "timeout",
  stopRules: "remaining",
  policy: "forceCeiling",
};

const onTimeout = (what: StartForm["onTimeout"], downtimeCeilingMs: number): PolicyAction =>
  what === "force" ? { do: "force", downtimeCeilingMs } : { do: what };

const switchRule = (when: StartForm["switchWhen"]): unknown =>
  when === "after-rounds" ? { when, rounds: 1 } : { when };
