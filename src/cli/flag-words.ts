/** How flags are refused, and read as whole numbers. */
import type { z } from "zod";

import { CodedError } from "../std/errors.ts";

export const usage = (problem: string, next?: string): CodedError =>
  new CodedError("USAGE", next === undefined ? { problem } : { problem, next });

export const contradiction = (one: string, other: string): CodedError =>
  usage(`${one} and ${other} contradict each other.`, "Leave one of them out.");

export function parseCount(flag: string, text: string): number {
  if (!/^\d{1,6}$/.test(text) || Number(text) < 1)
    throw usage(`${flag} ${text}: a whole number above 0 is needed.`);
  return Number(text);
}

/** Fields of a migrate request whose value was typed as it is, or with a unit. */
const FLAG_OF: Readonly<Record<string, readonly [flag: string, key: string]>> = {
  target: ["--to", "to"],
  technique: ["--technique", "technique"],
  wire: ["--wire", "wire"],
  bandwidthBytesPerSecond: ["--bandwidth", "bandwidth"],
  maxDowntimeMs: ["--max-downtime", "maxDowntime"],
  adaptiveDowntimeCeilingMs: ["--adaptive-downtime", "adaptiveDowntime"],
  timeoutMs: ["--timeout", "timeout"],
  "stopRules.bytesFactor": ["--bytes-factor", "bytesFactor"],
};

/** What the schema has against a value, in the words of the flag it was typed with; undefined when no flag fits. */
export function valueRefused(error: z.ZodError, typed: object): CodedError | undefined {
  const [issue] = error.issues;
  const [flag, key] = FLAG_OF[issue?.path.join(".") ?? ""] ?? [];
  if (issue === undefined || flag === undefined || key === undefined) return undefined;
  const what = `${flag} ${String((typed as Record<string, unknown>)[key])}`;
  if (issue.code === "invalid_value")
    return usage(`${what} is not known.`, `Use one of ${issue.values.map(String).join(", ")}.`);
  if (issue.code === "too_small") return usage(`${what}: more than nothing is needed.`);
  if (issue.code === "too_big") return usage(`${what} is more than can be asked for.`);
  return undefined;
}
