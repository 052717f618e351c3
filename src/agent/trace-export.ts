/** Traces to an OTLP/HTTP receiver. The only file that imports OpenTelemetry; loaded when traces are wanted. */
import {
  type HrTime,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace as api,
  type Tracer,
} from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { resourceFromAttributes } from "@opentelemetry/resources";
import {
  AlwaysOnSampler,
  BatchSpanProcessor,
  type IdGenerator,
  RandomIdGenerator,
  TracerProvider,
} from "@opentelemetry/sdk-trace";

import type { Span, Trace } from "./trace.ts";

const EXPORT_TIMEOUT_MS = 3_000;
const BATCH_DELAY_MS = 1_000;
const SAMPLED = 1;
const STATUS = { ok: SpanStatusCode.OK, unset: SpanStatusCode.UNSET, error: SpanStatusCode.ERROR } as const;

const hrTime = (ns: bigint): HrTime => [Number(ns / 1_000_000_000n), Number(ns % 1_000_000_000n)];

/** Random ids, but for the root span whose ids the other host has been told. */
class GivenIds implements IdGenerator {
  readonly #random = new RandomIdGenerator();
  next: { readonly traceId: string; readonly spanId: string | undefined } | undefined;

  generateTraceId(): string {
    return this.next?.traceId ?? this.#random.generateTraceId();
  }

  generateSpanId(): string {
    return this.next?.spanId ?? this.#random.generateSpanId();
  }
}

/** Delivery that fails is told: the SDK itself would only drop the spans. */
class ToldExporter extends OTLPTraceExporter {
  readonly #failed: (why: string) => void;

  constructor(url: string, failed: (why: string) => void) {
    super({ url, timeoutMillis: EXPORT_TIMEOUT_MS });
    this.#failed = failed;
  }

  override export(...[spans, done]: Parameters<OTLPTraceExporter["export"]>): void {
    super.export(spans, (result) => {
      if (result.error !== undefined) this.#failed(result.error.message);
      done(result);
    });
  }
}

export class TraceExport {
  readonly #ids = new GivenIds();
  readonly #provider: TracerProvider;
  readonly #tracer: Tracer;

  constructor(url: string, host: string, failed: (why: string) => void) {
    const exporter = new ToldExporter(url, failed);
    this.#provider = new TracerProvider({
      resource: resourceFromAttributes({ "service.name": "godwit-agent", "host.name": host }),
      sampler: new AlwaysOnSampler(),
      idGenerator: this.#ids,
      spanProcessors: [
        new BatchSpanProcessor({
          exporter,
          scheduledDelayMillis: BATCH_DELAY_MS,
          exportTimeoutMillis: EXPORT_TIMEOUT_MS,
        }),
      ],
    });
    this.#tracer = this.#provider.getTracer("godwit");
  }

  send({ traceId, spanId, parent, root, phases, status }: Trace): void {
    const remote =
      parent && api.setSpanContext(ROOT_CONTEXT, { ...parent, traceFlags: SAMPLED, isRemote: true });
    this.#ids.next = { traceId, spanId };
    const span = this.#begin(
      root,
      remote ?? ROOT_CONTEXT,
      remote === undefined ? SpanKind.INTERNAL : SpanKind.SERVER,
    );
    this.#ids.next = undefined;
    for (const phase of phases) this.#begin(phase, api.setSpan(ROOT_CONTEXT, span)).end(hrTime(phase.endNs));
    span.setStatus({ code: STATUS[status.code], message: status.message });
    span.end(hrTime(root.endNs));
  }

  #begin(
    { name, startNs, attributes, events }: Span,
    context = ROOT_CONTEXT,
    kind = SpanKind.INTERNAL,
  ): ReturnType<Tracer["startSpan"]> {
    const span = this.#tracer.startSpan(
      name,
      { startTime: hrTime(startNs), attributes: { ...attributes }, kind },
      context,
    );
    for (const event of events) span.addEvent(event.name, { ...event.attributes }, hrTime(event.atNs));
    return span;
  }

  close(): Promise<void> {
    return this.#provider.shutdown();
  }
}
