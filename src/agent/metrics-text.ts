/** Samples as Prometheus text, and what Node itself tells of this process: CPU, memory, event-loop lag. */
import { collectDefaultMetrics, Counter, Gauge, Registry } from "prom-client";

import type { Sample } from "./metrics.ts";
import { families, type MetricName } from "./metrics-table.ts";

export const METRICS_TYPE = Registry.PROMETHEUS_CONTENT_TYPE;

/** A registry of its own for each scrape: a label set that is gone leaves nothing behind. */
export async function metricsText(samples: readonly Sample[]): Promise<string> {
  const registry = new Registry();
  const byName = Map.groupBy(samples, (sample) => sample.name);
  for (const name of Object.keys(families) as MetricName[]) {
    const { type, help, labels } = families[name];
    const given = { name, help, labelNames: [...labels], registers: [registry] };
    const of = byName.get(name) ?? [];
    if (of.length === 0) continue;
    if (type === "gauge") {
      const metric = new Gauge(given);
      for (const sample of of) metric.set(sample.labels, sample.value);
    } else {
      const metric = new Counter(given);
      for (const sample of of) metric.inc(sample.labels, sample.value);
    }
  }
  return registry.metrics();
}

let processRegistry: Registry | undefined;

/** Collected from the first call on; one process, one registry. */
export function processText(): Promise<string> {
  if (processRegistry === undefined) {
    processRegistry = new Registry();
    collectDefaultMetrics({ register: processRegistry });
  }
  return processRegistry.metrics();
}
