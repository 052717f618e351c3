/** Sends the trace of each migration that ends, once, if traces are wanted; else loads nothing of OpenTelemetry. */
import type { AgentConfig } from "./config.ts";
import { bootId, nowNs } from "./clock.ts";
import type { EventHub } from "./events.ts";
import type { Log } from "./log.ts";
import type { MigrationRecord, Store } from "./store.ts";
import { traceOf } from "./trace.ts";
import { tracesUrl } from "./traceparent.ts";

/** Migrations whose trace is known to be sent. */
const SENT_MAX = 1000;

export interface Tracing {
  /** Sends what is still unsent, for a bounded time. */
  close(): Promise<void>;
}

export interface TracingDeps {
  readonly config: AgentConfig;
  readonly store: Store;
  readonly hub: EventHub;
  readonly log: Log;
}

export async function startTracing({ config, store, hub, log }: TracingDeps): Promise<Tracing> {
  const url = tracesUrl(config.otel, process.env);
  if (url === undefined) return { close: async () => {} };
  const { TraceExport } = await import("./trace-export.ts");
  const exporter = new TraceExport(url, config.name, (why) =>
    log.warn({ url, why }, "traces were not delivered"),
  );
  // What waited for a person before a restart has been sent; it will be told of again.
  const waiting = store.migrations(SENT_MAX).items.filter((record) => record.state.phase === "needs-person");
  const sent = new Set(waiting.map((record) => record.id));
  const unsubscribe = hub.subscribe(({ event }) => {
    if (event.type !== "migration" || event.migration.outcome === undefined) return;
    const { id } = event.migration;
    if (sent.has(id)) return;
    sent.add(id);
    const [oldest] = sent;
    if (sent.size > SENT_MAX && oldest !== undefined) sent.delete(oldest);
    const record = store.migration(id);
    if (record === undefined) return;
    try {
      exporter.send(traceOf(record, store.report(id), config.name, wallOffsetNs(record)));
    } catch (error) {
      log.warn({ migration: id, vm: record.vm, err: error }, "the trace could not be made");
    }
  });
  return {
    close: async () => {
      unsubscribe();
      await exporter.close();
    },
  };
}

/** CLOCK_MONOTONIC to Unix time; a record of an earlier boot has only the time it was begun at. */
const wallOffsetNs = ({ bootId: boot, startedAt, t0Ns }: MigrationRecord): bigint =>
  boot === bootId
    ? BigInt(Date.now()) * 1_000_000n - nowNs()
    : BigInt(Date.parse(startedAt)) * 1_000_000n - BigInt(t0Ns);
