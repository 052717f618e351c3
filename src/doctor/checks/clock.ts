/** The clock: certificates and the report's time of day want hosts that agree on it. No figure is measured with it. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";

import { fine, warning, type Check, type Verdict } from "../types.ts";

interface ClockFacts {
  /** What timedatectl says; undefined where nobody can be asked. */
  readonly synchronised: boolean | undefined;
}

const TIMEOUT_MS = 5_000;
const run = promisify(execFile);

async function gather(): Promise<ClockFacts> {
  try {
    const { stdout } = await run("timedatectl", ["show", "--property=NTPSynchronized", "--value"], {
      timeout: TIMEOUT_MS,
    });
    return { synchronised: /^(yes|no)\s*$/.test(stdout) ? stdout.startsWith("yes") : undefined };
  } catch {
    return { synchronised: undefined };
  }
}

function judge({ synchronised }: ClockFacts): Verdict {
  if (synchronised === true) return fine("The clock is synchronised.");
  if (synchronised === false) return warning("The clock is not synchronised.", "timedatectl set-ntp true");
  return warning("Whether the clock is synchronised cannot be told here.", "apt-get install chrony");
}

export const clock: Check<ClockFacts> = { name: "clock", gather, judge: (facts) => [judge(facts)] };
