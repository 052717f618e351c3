/**
 * The alert rules and the dashboard against a real Prometheus: every alert fires when it should, and every query is
 * answered from the /metrics of two real agents, after a real migration between them.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse, stringify } from "yaml";

import { families } from "../../src/agent/metrics-table.ts";
import { migrateRequest } from "../../src/api/migration.ts";
import { ensureTicker, tickerMachine } from "../../src/lab/guest/ticker.ts";
import { run } from "../../src/lab/run.ts";
import { type AgentsHere, agentsHere, freePort } from "../agents-here.ts";
import { ROOT } from "../sources.ts";
import { until } from "./arena.ts";

const DEPLOY = join(ROOT, "deploy");
const RULES = join(DEPLOY, "prometheus", "godwit.rules.yml");
const DEADLINE_MS = 60_000;
/** What Grafana puts in place of its variables. */
const GRAFANA = { $__rate_interval: "1m", $__range: "1h", $job: ".*", $instance: ".*", $vm: ".*" };

const MISSING =
  "Prometheus is needed for this test. Type:\n" +
  "  sudo sh -c 'apt-get update && apt-get install -y --no-install-recommends prometheus'";

const promtool = (...args: readonly string[]): Promise<string> =>
  run("promtool", args).catch((error: unknown) => {
    throw /ENOENT/.test(String(error)) ? new Error(MISSING, { cause: error }) : error;
  });

interface Panel {
  readonly title: string;
  readonly targets?: readonly { readonly expr: string }[];
}

/** A query, by where it stands. */
type Query = readonly [where: string, expr: string];

const dashboardQueries = (): Query[] => {
  const { panels } = JSON.parse(readFileSync(join(DEPLOY, "grafana", "godwit.json"), "utf8")) as {
    panels: Panel[];
  };
  return panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr }): Query => {
      const filled = Object.entries(GRAFANA).reduce(
        (text, [name, value]) => text.replaceAll(name, value),
        expr,
      );
      return [title, filled];
    }),
  );
};

const ruleQueries = (): Query[] => {
  const { groups } = parse(readFileSync(RULES, "utf8")) as {
    groups: { rules: { alert: string; expr: string }[] }[];
  };
  return groups.flatMap(({ rules }) => rules.map(({ alert, expr }): Query => [alert, expr]));
};

test("the alert rules are well formed, and fire when they should", async () => {
  await promtool("check", "rules", RULES);
  await promtool("test", "rules", join(ROOT, "test", "prometheus", "alerts.yml"));
});

test("dashboard and rules use only metrics there are", () => {
  const used = [...dashboardQueries(), ...ruleQueries()].flatMap(
    ([, expr]) => expr.match(/\bgodwit_\w+/g) ?? [],
  );
  expect(used.filter((name) => !Object.hasOwn(families, name))).toEqual([]);
});

describe("two agents, watched", () => {
  let here: AgentsHere;
  let prometheus: ChildProcess | undefined;
  let said = "";
  let base = "";

  const ask = async (path: string): Promise<{ status: string; error?: string; data: Data }> =>
    (await (await fetch(`${base}/api/v1/${path}`)).json()) as { status: string; error?: string; data: Data };
  const query = (expr: string): ReturnType<typeof ask> => ask(`query?query=${encodeURIComponent(expr)}`);

  beforeAll(async () => {
    await promtool("--version");
    here = await agentsHere(["a", "b"]);
    const [a] = here.agents;
    if (a === undefined) throw new Error("no agent");
    await a.client.run({ body: tickerMachine("t1", await ensureTicker()), timeoutMs: DEADLINE_MS });
    const body = migrateRequest.parse({ target: "b" });
    const { id } = await a.client.migrate({ params: { name: "t1" }, body });
    await until("the migration's end", DEADLINE_MS, async () => {
      const { outcome, reason } = await a.client.migration({ params: { id } });
      if (outcome !== undefined && outcome !== "done") throw new Error(`it ended: ${outcome} ${reason}`);
      return outcome;
    });
    const port = await freePort();
    base = `http://127.0.0.1:${port}`;
    const config = join(here.folder, "prometheus.yml");
    const targets = here.agents.map(({ url }) => new URL(url).host);
    writeFileSync(
      config,
      stringify({
        global: { scrape_interval: "1s", evaluation_interval: "1s" },
        rule_files: [RULES],
        scrape_configs: [{ job_name: "godwit", static_configs: [{ targets }] }],
      }),
    );
    prometheus = spawn(
      "prometheus",
      [
        `--config.file=${config}`,
        `--storage.tsdb.path=${join(here.folder, "tsdb")}`,
        `--web.listen-address=127.0.0.1:${port}`,
      ],
      { stdio: ["ignore", "ignore", "pipe"] },
    );
    prometheus.stderr?.on("data", (chunk: Buffer) => (said += chunk.toString()));
    await until("two scrapes of both agents", DEADLINE_MS, async () => {
      const seen = await query('count_over_time(up{job="godwit"}[1m]) > 2').catch(() => undefined);
      return seen?.data.result?.length === 2 ? true : undefined;
    }).catch((error: unknown) => {
      throw new Error(`${String(error)}: ${said.slice(-2000)}`, { cause: error });
    });
  });

  afterAll(async () => {
    if (prometheus !== undefined && prometheus.exitCode === null) {
      const gone = new Promise((done) => prometheus?.once("exit", done));
      prometheus.kill("SIGTERM");
      await gone;
    }
    for (const { client } of here?.agents ?? [])
      for (const vm of await client.vms({ query: { scope: "host" } }))
        await client.stop({ params: { name: vm.name } });
    await here?.[Symbol.asyncDispose]();
  });

  test("both are scraped without an error", async () => {
    const { data } = await ask("targets");
    expect(data.activeTargets?.map(({ health, lastError }) => [health, lastError])).toEqual([
      ["up", ""],
      ["up", ""],
    ]);
  });

  test("every query of the dashboard and of the rules is answered", async () => {
    const failed: string[] = [];
    for (const [where, expr] of [...dashboardQueries(), ...ruleQueries()]) {
      const { status, error } = await query(expr);
      if (status !== "success") failed.push(`${where}: ${expr}: ${error}`);
    }
    expect(failed).toEqual([]);
  });

  test("the panels of a migration show it, after its end", async () => {
    const panels = [
      "Migrations",
      "Downtime",
      "Bytes of a migration",
      "Total time and eviction time",
      "Pages by class",
    ];
    const empty: string[] = [];
    for (const [title, expr] of dashboardQueries().filter(([one]) => panels.includes(one))) {
      // Absent by right: it has ended, nothing is shaped here, and loopback counts nobody's wire bytes.
      if (/eta_seconds|wire_bytes_total/.test(expr)) continue;
      const { data } = await query(expr);
      if ((data.result?.length ?? 0) === 0) empty.push(`${title}: ${expr}`);
    }
    expect(empty).toEqual([]);
  });

  test("Prometheus finds the rules, none of them in error", async () => {
    await until("every rule to be evaluated", DEADLINE_MS, async () => {
      const { data } = await ask("rules");
      const rules = data.groups?.flatMap((group) => group.rules) ?? [];
      expect(rules.map((rule) => rule.lastError ?? "")).toEqual(rules.map(() => ""));
      return rules.length === ruleQueries().length && rules.every((rule) => rule.health === "ok")
        ? true
        : undefined;
    });
  });

  test("its linter has nothing to say about the agent's own names", async () => {
    const text = await (await fetch(`${here.agents[0]?.url}/metrics`)).text();
    const own = text.split("\n").filter((line) => /^(# (HELP|TYPE) )?godwit_/.test(line));
    expect(own.length).toBeGreaterThan(Object.keys(families).length);
    await run("promtool", ["check", "metrics"], { input: `${own.join("\n")}\n` });
  });
});

interface Data {
  readonly result?: readonly unknown[];
  readonly activeTargets?: readonly { readonly health: string; readonly lastError: string }[];
  readonly groups?: readonly {
    readonly rules: readonly { readonly health: string; readonly lastError?: string }[];
  }[];
}
