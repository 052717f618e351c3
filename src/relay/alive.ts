/** Whether a process is still the one that was started: its start time guards against a reused pid. */
import { readFileSync } from "node:fs";

const STATE_FIELD = 3;
const START_FIELD = 22;

/** proc(5), /proc/pid/stat. Field 2 is the name in brackets and may itself hold brackets and spaces. */
export function startTicksOf(pid: number): number | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "latin1");
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    const state = fields[0] ?? "Z";
    const ticks = Number(fields[START_FIELD - STATE_FIELD]);
    return state === "Z" || state === "X" || Number.isNaN(ticks) ? undefined : ticks;
  } catch {
    return undefined; // ENOENT, or ESRCH when it ends while being read
  }
}
