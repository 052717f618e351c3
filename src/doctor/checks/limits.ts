/** Limits of a process: open files (sockets of agents, relays and QEMUs) and locked memory. */
import { readFileSync } from "node:fs";

import { fine, warning, type Check, type Verdict } from "../types.ts";

export interface LimitsFacts {
  readonly openFiles: number;
  readonly lockedBytes: number;
}

const OPEN_FILES_MIN = 4096;
/** What systemd gives by default; io_uring of older kernels and multifd's zero-copy count against it. */
const LOCKED_MIN_BYTES = 8 * 2 ** 20;

/** /proc/PID/limits, proc(5): name, soft limit, hard limit, unit. */
export function parseLimits(text: string): LimitsFacts {
  const soft = (name: string): number => {
    const value = new RegExp(`^${name}\\s+(\\d{1,20}|unlimited)\\s`, "m").exec(text)?.[1];
    return value === "unlimited" ? Infinity : Number(value ?? 0);
  };
  return { openFiles: soft("Max open files"), lockedBytes: soft("Max locked memory") };
}

function* judge({ openFiles, lockedBytes }: LimitsFacts): Generator<Verdict> {
  yield openFiles >= OPEN_FILES_MIN
    ? fine(`${openFiles === Infinity ? "Any number of" : openFiles} files may be open.`)
    : warning(
        `Only ${openFiles} files may be open (${OPEN_FILES_MIN} are enough).`,
        `ulimit -n ${OPEN_FILES_MIN}`,
      );
  if (lockedBytes < LOCKED_MIN_BYTES) {
    yield warning(
      `Only ${lockedBytes} bytes of memory may be locked.`,
      `ulimit -l ${LOCKED_MIN_BYTES / 1024}`,
    );
  }
}

export const limits: Check<LimitsFacts> = {
  name: "limits",
  gather: () => parseLimits(readFileSync("/proc/self/limits", "utf8")),
  judge: (facts) => [...judge(facts)],
};
