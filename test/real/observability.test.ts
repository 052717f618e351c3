/** What two agents tell of a migration between them: one trace, log lines that belong to it, figures after its end. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { traceIdsOf } from "../../src/agent/traceparent.ts";
import { migrateRequest } from "../../src/api/migration.ts";
import type { Report } from "../../src/api/report.ts";
import { ensureTicker, tickerMachine } from "../../src/lab/guest/ticker.ts";
import { type AgentHere, type AgentsHere, agentsHere, get } from "../agents-here.ts";
import { until } from "./arena.ts";

const DEADLINE_MS = 60_000;
/** Of two readings of clocks through different paths. */
const SLACK_NS = 2_000_000n;

interface Told {
  readonly host: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly status: { readonly code?: number };
  readonly attributes: readonly { readonly key: string; readonly value: Record<string, unknown> }[];
  readonly events?: readonly { readonly name: string }[];
}

interface Export {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: Told["attributes"] };
    readonly scopeSpans: readonly { readonly spans: readonly Omit<Told, "host">[] }[];
  }[];
}

const attribute = (attributes: Told["attributes"], key: string): unknown =>
  Object.values(attributes.find((one) => one.key === key)?.value ?? {})[0];

/** An OTLP/HTTP receiver that keeps what it is told. */
async function receiver(told: Told[], asked: string[]): Promise<Server> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      asked.push(`${request.method} ${request.url} ${request.headers["content-type"]}`);
      const { resourceSpans } = JSON.parse(Buffer.concat(chunks).toString()) as Export;
      for (const { resource, scopeSpans } of resourceSpans) {
        const host = String(attribute(resource.attributes, "host.name"));
        for (const { spans } of scopeSpans) told.push(...spans.map((span) => ({ ...span, host })));
      }
      response.writeHead(200, { "content-type": "application/json" }).end("{}");
    });
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return server;
}

describe("a migration", () => {
  const told: Told[] = [];
  const asked: string[] = [];
  let sink: Server;
  let here: AgentsHere;
  let a: AgentHere;
  let b: AgentHere;
  let id: string;
  let report: Report;

  beforeAll(async () => {
    sink = await receiver(told, asked);
    const { port } = sink.address() as AddressInfo;
    here = await agentsHere(["a", "b"], { config: { otel: { endpoint: `http://127.0.0.1:${port}` } } });
    const [first, second] = here.agents;
    if (first === undefined || second === undefined) throw new Error("no agents");
    [a, b] = [first, second];
    await a.client.run({ body: tickerMachine("t1", await ensureTicker()), timeoutMs: DEADLINE_MS });
    const body = migrateRequest.parse({ target: "b" });
    ({ id } = await a.client.migrate({ params: { name: "t1" }, body }));
    await until("the migration's end", DEADLINE_MS, async () => {
      const { outcome, reason } = await a.client.migration({ params: { id } });
      if (outcome !== undefined && outcome !== "done") throw new Error(`it ended: ${outcome} ${reason}`);
      return outcome;
    });
    report = await a.client.report({ params: { id } });
    await until("both sides' spans", DEADLINE_MS, () => roots().length === 2 || undefined);
  });

  afterAll(async () => {
    for (const { client } of here?.agents ?? [])
      for (const vm of await client.vms({ query: { scope: "host" } }))
        await client.stop({ params: { name: vm.name } });
    await here?.[Symbol.asyncDispose]();
    sink?.close();
  });

  const roots = (): Told[] => told.filter((span) => ["migration", "incoming migration"].includes(span.name));
  const root = (host: string): Told => {
    const found = roots().find((span) => span.host === host);
    if (found === undefined) throw new Error(`no root of ${host}`);
    return found;
  };
  const namesOf = (parent: Told): string[] =>
    told
      .filter((span) => span.parentSpanId === parent.spanId && span.host === parent.host)
      .map((span) => span.name);

  test("is one trace over both hosts, a span for each phase", () => {
    expect(asked[0]).toBe("POST /v1/traces application/json");
    expect(new Set(told.map((span) => span.traceId))).toEqual(new Set([traceIdsOf(id).traceId]));
    expect(root("a").spanId).toBe(traceIdsOf(id).spanId);
    expect(root("b").parentSpanId).toBe(root("a").spanId);
    expect(namesOf(root("a")).slice(0, 3)).toEqual([
      "source preparing",
      "source copying",
      "source switching",
    ]);
    expect(namesOf(root("b"))).toEqual(
      expect.arrayContaining(["target preparing", "target receiving", "target accepted"]),
    );
    expect(roots().map((span) => span.status.code)).toEqual([1, 1]);
  });

  test("the target's spans lie within the source's, on one machine's clock", () => {
    const [outer, inner] = [root("a"), root("b")];
    expect(BigInt(inner.startTimeUnixNano)).toBeGreaterThan(BigInt(outer.startTimeUnixNano) - SLACK_NS);
    expect(BigInt(inner.endTimeUnixNano)).toBeLessThan(BigInt(outer.endTimeUnixNano) + SLACK_NS);
  });

  test("the trace has the report's figures", () => {
    const { attributes } = root("a");
    expect(attribute(attributes, "godwit.downtime_vm_seconds")).toBe(
      (report.metrics.downtime_ms.vm ?? 0) / 1000,
    );
    expect(Number(attribute(attributes, "godwit.qemu_bytes"))).toBe(report.metrics.bytes.qemu);
    const events = told
      .flatMap((span) => (span.host === "a" ? (span.events ?? []) : []))
      .map((event) => event.name);
    expect(events).toContain("guest paused");
  });

  test("a late scrape has its final record, at the source and at the target", async () => {
    const [source, target] = [(await get(a.socket, "/metrics")).text, (await get(b.socket, "/metrics")).text];
    const labels = `vm="t1",migration="${id}"`;
    const seconds = (report.metrics.downtime_ms.vm ?? 0) / 1000;
    expect(source).toContain(`godwit_migration_downtime_seconds{${labels},observer="vm"} ${seconds}\n`);
    expect(source).toContain(`godwit_migration_phase{${labels},side="source",phase="done"} 1\n`);
    const ended = `godwit_migrations_total{outcome="done",technique="pre-copy",path="${report.path}"}`;
    expect(source).toContain(`${ended} 1\n`);
    expect(source).toContain('godwit_peer_up{peer="b"} 1\n');
    expect(target).toContain(`godwit_migration_phase{${labels},side="target",phase="done"} 1\n`);
    expect(target).toContain(`${ended} 0\n`);
    expect(target).toContain('godwit_vms{state="running"} 1\n');
  });

  test("both agents are ready", async () => {
    for (const agent of [a, b]) {
      const { status, text } = await get(agent.socket, "/readyz");
      expect([status, text]).toEqual([200, expect.stringContaining('"ready":true')]);
    }
  });

  test("every log line about it says which migration and which VM", () => {
    const lines = [...a.log(), ...b.log()].map((line) => JSON.parse(line) as Record<string, unknown>);
    const about = lines.filter((line) => String(line["msg"]).startsWith("migration "));
    expect(about.map((line) => line["msg"])).toEqual(
      expect.arrayContaining(["migration preparing", "migration copying", "migration done"]),
    );
    for (const line of about) expect(line).toMatchObject({ migration: id, vm: "t1" });
    expect(lines.filter((line) => Number(line["level"]) > 30)).toEqual([]);
  });
});
