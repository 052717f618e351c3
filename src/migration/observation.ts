/**
 * Adds to a finished report what an observer outside the agents saw. A later observation of the same metric takes
 * the place of an earlier one and says so in a note; checks are only ever added, and a failed one stays failed.
 */
import { verdict } from "./report.ts";
import type { Correctness, Metrics, Observation, Report } from "../api/report.ts";

/** What the checks alone do not say of an observer's correctness becomes a check, so that no failure is lost. */
function checksOf({ observer, correctness }: Observation): Correctness["checks"] {
  if (correctness === undefined) return [];
  const checks = correctness.checks.map((check) => ({ ...check }));
  const lost = correctness.lost_acknowledged_writes ?? 0;
  if (lost > 0) {
    checks.push({ what: "acknowledged writes", ok: false, detail: `${observer} counts ${lost} lost` });
  }
  if (correctness.verdict === "failed" && checks.every((check) => check.ok)) {
    checks.push({ what: `verdict of ${observer}`, ok: false, detail: "failed, without naming a check" });
  }
  return checks;
}

export function withObservation(report: Report, observation: Observation): Report {
  const { observer } = observation;
  const notes = observation.notes.map((note) => `${observer}: ${note}`);
  const take = (name: string, before: number | null, seen: number | undefined): number | null => {
    if (seen === undefined) return before;
    if (before !== null && before !== seen)
      notes.push(`${observer}: ${name} is ${seen}, was ${before} before.`);
    return seen;
  };

  const { downtime_ms: downtime, disruption_ms: disruption } = report.metrics;
  const metrics: Metrics = {
    ...report.metrics,
    downtime_ms: {
      ...downtime,
      client: take("downtime_ms.client", downtime.client, observation.downtime_ms?.client),
      guest: take("downtime_ms.guest", downtime.guest, observation.downtime_ms?.guest),
    },
    disruption_ms: {
      span: take("disruption_ms.span", disruption.span, observation.disruption_ms?.span),
      sum: take("disruption_ms.sum", disruption.sum, observation.disruption_ms?.sum),
    },
    degradation_ratio: take(
      "degradation_ratio",
      report.metrics.degradation_ratio,
      observation.degradation_ratio,
    ),
  };

  const latency = observation.client_latency ?? report.client_latency;
  const checks = [...report.correctness.checks, ...checksOf(observation)];
  const lostWrites = observation.correctness?.lost_acknowledged_writes ?? undefined;
  return {
    ...report,
    environment: { ...report.environment, link: observation.link ?? report.environment.link },
    metrics,
    correctness: {
      verdict: verdict(checks),
      checks,
      lost_acknowledged_writes: take(
        "lost_acknowledged_writes",
        report.correctness.lost_acknowledged_writes,
        lostWrites,
      ),
    },
    ...(latency === undefined ? {} : { client_latency: latency }),
    notes: [...report.notes, ...notes],
  };
}
