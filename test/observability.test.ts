import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { families } from "../src/agent/metrics-table.ts";
import { type AgentsHere, agentsHere, get, moduleRecorder } from "./agents-here.ts";
import { ROOT } from "./sources.ts";

describe("an agent without QEMU", () => {
  let here: AgentsHere;
  let folder: string;
  let recorder: ReturnType<typeof moduleRecorder>;
  let socket: string;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "gw-modules-"));
    recorder = moduleRecorder(folder);
    here = await agentsHere(["a"], {
      config: { qemu: "/nonexistent/qemu" },
      env: { NODE_OPTIONS: recorder.nodeOptions, OTEL_EXPORTER_OTLP_ENDPOINT: "" },
    });
    socket = here.agents[0]?.socket ?? "";
  });
  afterAll(async () => {
    await here?.[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  });

  test("lives, and is not ready: it says which check fails, why, and what to do", async () => {
    expect(await get(socket, "/healthz")).toMatchObject({ status: 200 });
    const { status, text } = await get(socket, "/readyz");
    expect(status).toBe(503);
    const { ready, checks } = JSON.parse(text) as { ready: boolean; checks: { name: string; ok: boolean }[] };
    expect(ready).toBe(false);
    expect(checks.filter((check) => !check.ok)).toEqual([
      {
        name: "qemu",
        what: "QEMU",
        ok: false,
        why: expect.stringContaining("/nonexistent/qemu"),
        next: expect.stringContaining("apt-get install"),
      },
    ]);
    expect(checks.map((check) => check.name)).toEqual([
      "store",
      "qemu",
      "certificate-ca",
      "certificate-server",
      "certificate-client",
      "listener-peers",
      "listener-socket",
      "listener-people",
    ]);
  });

  test("serves metrics of its own and of its process", async () => {
    const { status, type, text } = await get(socket, "/metrics");
    expect(status).toBe(200);
    expect(type).toContain("text/plain; version=0.0.4");
    for (const name of [
      "godwit_build_info",
      "godwit_vms",
      "process_cpu_seconds_total",
      "nodejs_eventloop_lag_seconds",
    ])
      expect(text).toContain(`# TYPE ${name} `);
    expect(text).toMatch(/^godwit_certificate_expiry_time_seconds\{certificate="server"\} \d+$/m);
  });

  test("loads nothing of OpenTelemetry while no traces are wanted", () => {
    const all = recorder.read();
    expect(all.some((line) => line.includes("/src/agent/tracing.ts"))).toBe(true);
    // prom-client brings the bare API package for a check of its own; the SDK and the exporter are what costs.
    const [theirs, ours] = [/@opentelemetry\/api\/.* for .*\/prom-client\//, /@opentelemetry\/|trace-export/];
    const others = all.filter((line) => ours.test(line) && !theirs.test(line));
    expect(
      others.filter((line) => !/@opentelemetry\/api\/.* for .*@opentelemetry\/api\//.test(line)),
    ).toEqual([]);
  });
});

test("with an endpoint in the environment the exporter is loaded", async () => {
  const folder = mkdtempSync(join(tmpdir(), "gw-modules-"));
  try {
    const recorder = moduleRecorder(folder);
    await using _ = await agentsHere(["a"], {
      env: { NODE_OPTIONS: recorder.nodeOptions, OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:9" },
    });
    expect(recorder.read().some((line) => line.includes("@opentelemetry/exporter-trace-otlp-http"))).toBe(
      true,
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("docs/observability.md names every metric with its type, labels and meaning, and no other", () => {
  const text = readFileSync(join(ROOT, "docs", "observability.md"), "utf8");
  const rows = text.split("\n").filter((line) => line.startsWith("| `godwit_"));
  const wanted = Object.entries(families).map(
    ([name, { type, labels, help }]) => `| \`${name}\` | ${type} | ${labels.join(", ")} | ${help} |`,
  );
  expect(rows.map((row) => row.replaceAll(/ +/g, " "))).toEqual(
    wanted.map((row) => row.replaceAll(/ +/g, " ")),
  );
});

test("docs/observability.md says what to do about every alert, and about no other", () => {
  const text = readFileSync(join(ROOT, "docs", "observability.md"), "utf8");
  const rules = readFileSync(join(ROOT, "deploy", "prometheus", "godwit.rules.yml"), "utf8");
  const alerts = [...rules.matchAll(/- alert: (\w+)/g)].map(([, name]) => name);
  const rows = [...text.matchAll(/^\| `(Godwit\w+)` +\|/gm)].map(([, name]) => name);
  expect(rows).toEqual(alerts);
});
