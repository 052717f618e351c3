/**
 * After a migration: asks the lab's observers what a client and the guest saw, and adds it to the report. A VM that
 * belongs to no lab has no observers; its report says "not observed".
 */
import type { GodwitClient } from "../api/client.ts";
import type { MigrationView } from "../api/migration.ts";
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

/** While a migration of a lab's guest runs: tells those who look at it what a client waits, as far as it is known. */
export async function tellLatency(client: GodwitClient, { id, vm, startedAt }: MigrationView): Promise<void> {
  const { labOfSocket } = await import("../lab/state.ts");
  const lab = labOfSocket(client.socketPath);
  if (lab === undefined) return;
  const { latencySoFar } = await import("../lab/observe/observe.ts");
  // Its begin on the monotonic clock is in the report, once there is one; until then the wall clock will do.
  const t0Ns = process.hrtime.bigint() - BigInt(Date.now() - Date.parse(startedAt)) * 1_000_000n;
  const latency = latencySoFar(lab, vm, t0Ns);
  if (latency !== undefined) await client.tellLatency({ params: { id }, body: latency });
}
