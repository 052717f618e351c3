/**
 * Which trace a migration belongs to, and whether any is wanted. The ids follow from the migration's own, so that they
 * need no place in the source's journal and a restarted agent goes on in the same trace.
 */
import { createHash } from "node:crypto";

export interface TraceIds {
  readonly traceId: string;
  readonly spanId: string;
}

/** https://www.w3.org/TR/trace-context/#traceparent-header; later versions may add fields behind. */
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(-.*)?$/;
const LENGTH_MAX = 128;

/** The trace of a migration and the source's root span in it. */
export function traceIdsOf(migration: string): TraceIds {
  const hash = createHash("sha256").update(`godwit migration ${migration}`).digest("hex");
  return { traceId: hash.slice(0, 32), spanId: hash.slice(32, 48) };
}

/** Sampled, always: a host has few migrations and each matters. */
export const traceparentOf = (migration: string): string => {
  const { traceId, spanId } = traceIdsOf(migration);
  return `00-${traceId}-${spanId}-01`;
};

/** A header as it came, or undefined for anything that is not one. */
export const parseTraceparent = (header: unknown): string | undefined =>
  typeof header === "string" && header.length <= LENGTH_MAX && TRACEPARENT.test(header) ? header : undefined;

export function idsIn(traceparent: string): TraceIds | undefined {
  const [, traceId, spanId] = TRACEPARENT.exec(traceparent) ?? [];
  return traceId === undefined || spanId === undefined ? undefined : { traceId, spanId };
}

/** Where spans are posted; undefined when nobody asked for traces. The configuration file wins. */
export function tracesUrl(
  otel: { readonly endpoint: string } | undefined,
  env: Readonly<Record<string, string | undefined>>,
): string | undefined {
  const endpoint = otel?.endpoint ?? env["OTEL_EXPORTER_OTLP_ENDPOINT"];
  return endpoint === undefined || endpoint === "" ? undefined : `${endpoint.replace(/\/+$/, "")}/v1/traces`;
}
