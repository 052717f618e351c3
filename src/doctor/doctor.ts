/**
 * Examines this host: every check of the table, all at once, each on its own. What each looks at is in checks/; how
 * the result is shown is the command line's business.
 */
import { existsSync } from "node:fs";

import { readConfig } from "../agent/config.ts";
import { toCodedError } from "../std/errors.ts";
import { checks } from "./checks/index.ts";
import { warning, type Check, type Host, type Verdict } from "./types.ts";

export interface DoctorFinding extends Verdict {
  readonly check: string;
}

export interface Examination {
  /** No blocker among the findings. */
  readonly ok: boolean;
  readonly findings: readonly DoctorFinding[];
}

export async function examine(
  configFile: string,
  table: readonly Check<unknown>[] = checks,
): Promise<Examination> {
  const host = describe(configFile);
  const findings = (await Promise.all(table.map((check) => one(check, host)))).flat();
  return { ok: findings.every((finding) => finding.severity !== "blocker"), findings };
}

function describe(configFile: string): Host {
  if (!existsSync(configFile)) {
    return { configFile, config: undefined, configProblem: `There is no ${configFile}.` };
  }
  try {
    return { configFile, config: readConfig(configFile), configProblem: "" };
  } catch (error) {
    return { configFile, config: undefined, configProblem: toCodedError(error).message };
  }
}

/** A check that cannot look is itself a finding; it never hides the others. */
async function one(check: Check<unknown>, host: Host): Promise<readonly DoctorFinding[]> {
  let verdicts: readonly Verdict[];
  try {
    verdicts = check.judge(await check.gather(host));
  } catch (error) {
    const refused = toCodedError(error);
    verdicts = [warning(`This could not be looked at: ${refused.message}`, refused.next)];
  }
  return verdicts.map((verdict) => ({ check: check.name, ...verdict }));
}
