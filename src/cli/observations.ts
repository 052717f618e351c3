/**
 * After a migration: asks the lab's observers what a client and the guest saw, and adds it to the report. A VM that
 * belongs to no lab has no observers; its report says "not observed".
 */
import type { GodwitClient } from "../api/client.ts";
import type { Report } from "../api/report.ts";
import type { Cli } from "./context.ts";

/**
 * Watched on after the move's end. Two seconds of undisturbed service end a disruption (docs/metrics.md), so a
 * shorter tail could not see its end; campaigns ask for the full 30 s.
 */
const TAIL_MS = 4_000;

/** Called once after every migration that ended with "done". */
export async function attachObservations(
  cli: Cli,
  client: GodwitClient,
  id: string,
  tailMs: number = TAIL_MS,
): Promise<Report> {
  const report = await client.report({ params: { id } });
  const { labOfSocket } = await import("../lab/state.ts");
  const lab = labOfSocket(client.socketPath);
  const guest = lab?.guests.find((each) => each.name === report.vm && each.observer !== null);
  const { total_time_ms: totalMs } = report.metrics;
  if (lab === undefined || guest === undefined || totalMs === null) return report;
  cli.say("Watching the service settle …");
  const { observe } = await import("../lab/observe/observe.ts");
  const t0Ns = BigInt(report.clock.t0_ns);
  const observation = await observe(lab, report.vm, {
    t0Ns,
    t6Ns: t0Ns + BigInt(Math.ceil(totalMs * 1e6)),
    tailMs,
  });
  return client.observe({ params: { id }, body: observation });
}
