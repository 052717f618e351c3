/**
 * Fault points: after every journaled step the agent passes one, and a test may demand that a process dies right
 * there. Off unless GODWIT_FAULTS names a file; the file holds { "at": "source:handing-over", "kill": [pid, …] }, pid
 * 0 meaning the agent itself. Each demand is met once.
 */
import { readFileSync, rmSync } from "node:fs";

export function faultPoint(name: string): void {
  const file = process.env["GODWIT_FAULTS"];
  if (file === undefined) return;
  let demand: { readonly at: string; readonly kill: readonly number[] };
  try {
    demand = JSON.parse(readFileSync(file, "utf8")) as typeof demand;
  } catch {
    return; // no demand at the moment
  }
  if (demand.at !== name) return;
  rmSync(file, { force: true });
  for (const pid of demand.kill.filter((each) => each !== 0)) process.kill(pid, "SIGKILL");
  if (demand.kill.includes(0)) process.kill(process.pid, "SIGKILL");
}
