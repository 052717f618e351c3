import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

import { afterAll, beforeAll, expect, test } from "vitest";

import type { Trace } from "./trace.ts";
import { TraceExport } from "./trace-export.ts";
import { traceIdsOf } from "./traceparent.ts";

const ids = traceIdsOf("m-1");
const at = (ms: number): bigint => 1_700_000_000_000_000_000n + BigInt(ms) * 1_000_000n;
const trace: Trace = {
  ...ids,
  parent: undefined,
  root: {
    name: "migration",
    startNs: at(0),
    endNs: at(90),
    attributes: { "godwit.qemu_bytes": 4096, "godwit.downtime_vm_seconds": 0.125 },
    events: [],
  },
  phases: [
    {
      name: "source copying",
      startNs: at(10),
      endNs: at(60),
      attributes: {},
      events: [{ name: "round 1", atNs: at(50) + 7n, attributes: {} }],
    },
  ],
  status: { code: "error", message: "the link broke" },
};

const bodies: string[] = [];
let status = 200;
let sink: Server;
let url: string;
beforeAll(async () => {
  sink = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      bodies.push(Buffer.concat(chunks).toString());
      response.writeHead(status, { "content-type": "application/json" }).end("{}");
    });
  });
  await new Promise<void>((done) => sink.listen(0, "127.0.0.1", done));
  url = `http://127.0.0.1:${(sink.address() as AddressInfo).port}/v1/traces`;
});
afterAll(() => {
  sink.close();
});

test("a trace arrives whole: its own ids, nanoseconds, units, status", async () => {
  status = 200;
  const failures: string[] = [];
  const exporter = new TraceExport(url, "a", (why) => failures.push(why));
  exporter.send(trace);
  exporter.send({
    ...trace,
    spanId: undefined,
    parent: ids,
    root: { ...trace.root, name: "incoming migration" },
  });
  await exporter.close();
  expect(failures).toEqual([]);
  const { resourceSpans } = JSON.parse(bodies.at(-1) ?? "") as {
    resourceSpans: { resource: unknown; scopeSpans: { spans: Record<string, unknown>[] }[] }[];
  };
  expect(JSON.stringify(resourceSpans[0]?.resource)).toContain('"host.name","value":{"stringValue":"a"}');
  const spans = resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans));
  const named = (name: string): Record<string, unknown>[] => spans.filter((span) => span["name"] === name);
  expect(named("migration")).toEqual([
    expect.objectContaining({
      ...ids,
      startTimeUnixNano: String(at(0)),
      endTimeUnixNano: String(at(90)),
      status: { code: 2, message: "the link broke" },
      attributes: [
        { key: "godwit.qemu_bytes", value: { intValue: 4096 } },
        { key: "godwit.downtime_vm_seconds", value: { doubleValue: 0.125 } },
      ],
    }),
  ]);
  const [incoming] = named("incoming migration");
  expect(incoming).toMatchObject({ traceId: ids.traceId, parentSpanId: ids.spanId });
  expect(incoming?.["spanId"]).not.toBe(ids.spanId);
  expect(named("source copying").map((span) => span["parentSpanId"])).toEqual([
    ids.spanId,
    incoming?.["spanId"],
  ]);
  expect(named("source copying")[0]?.["events"]).toEqual([
    expect.objectContaining({ name: "round 1", timeUnixNano: String(at(50) + 7n) }),
  ]);
});

test("a receiver that refuses is told of, and harms nothing", async () => {
  status = 400;
  const failures: string[] = [];
  const exporter = new TraceExport(url, "a", (why) => failures.push(why));
  exporter.send(trace);
  await exporter.close().catch(() => undefined);
  expect(failures).toHaveLength(1);
});
