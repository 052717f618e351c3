/** The command line as a person or a script meets it: exit codes, streams, refusals, Ctrl-C. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { parse as parseYaml } from "yaml";

import { FakeAgent, until, type Handlers } from "../../test/fakes/agent.ts";
import { checked, facts, migrationOf, progressOf, reportOf, vm } from "../../test/fakes/fixtures.ts";
import { FakeTerminal } from "../../test/fakes/terminal.ts";
import type { MigrationView } from "../api/migration.ts";
import type { Report } from "../api/report.ts";
import { CodedError } from "../std/errors.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "godwit-cli-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** An agent whose one migration ends as told. */
const ending = (end: Partial<MigrationView>, report: Partial<Report> = {}): Handlers => ({
  vms: () => [vm()],
  migrate: () => migrationOf(),
  migration: () => migrationOf(end),
  migrations: () => [migrationOf(end)],
  report: () => reportOf(report),
});

const done = { phase: "done", outcome: "done" } as const;

test.each<[string, Partial<MigrationView>, Partial<Report>, number]>([
  ["done", done, {}, 0],
  ["failed", { phase: "aborted", outcome: "failed", reason: "The link broke." }, {}, 1],
  ["blocked", { phase: "aborted", outcome: "failed", code: "CHECK_FAILED" }, {}, 3],
  ["cancelled", { phase: "aborted", outcome: "cancelled" }, {}, 4],
  ["timed out", { phase: "aborted", outcome: "timed-out" }, {}, 5],
  [
    "post-check failed",
    done,
    { correctness: { verdict: "failed", checks: [], lost_acknowledged_writes: null } },
    6,
  ],
  ["needs a person", { phase: "needs-person", outcome: "needs-person" }, {}, 7],
])("migrate ends with the exit code for: %s", async (_name, end, report, code) => {
  await using agent = await FakeAgent.start(ending(end, report));
  const terminal = new FakeTerminal();
  expect(await terminal.run("migrate", "db-1", "--to", "b", "--socket", agent.socketPath)).toBe(code);
});

test("migrate passes on what was asked for", async () => {
  await using agent = await FakeAgent.start(ending(done));
  const terminal = new FakeTerminal();
  const flags = ["--bandwidth", "100MiB/s", "--max-downtime", "200ms"];
  await terminal.run("migrate", "db-1", "--to", "b", "--socket", agent.socketPath, ...flags);
  expect(agent.calls.find(({ key }) => key === "migrate")?.asked).toMatchObject({
    params: { name: "db-1" },
    body: { target: "b", bandwidthBytesPerSecond: 100 * 2 ** 20, maxDowntimeMs: 200 },
  });
});

test("with -o json stdout is the report and nothing else; progress is on stderr", async () => {
  await using agent = await FakeAgent.start(ending(done));
  const terminal = new FakeTerminal();
  await terminal.run("migrate", "db-1", "--to", "b", "-o", "json", "--socket", agent.socketPath);
  expect(JSON.parse(terminal.stdout)).toEqual(reportOf());
  expect(terminal.stderr).toContain("copying, round 2: 48 %");
});

test("with -o yaml stdout is the same report", async () => {
  await using agent = await FakeAgent.start(ending(done));
  const terminal = new FakeTerminal();
  await terminal.run("report", "m-1", "-o", "yaml", "--socket", agent.socketPath);
  expect(parseYaml(terminal.stdout)).toEqual(reportOf());
});

test("the end of a migration in words", async () => {
  await using agent = await FakeAgent.start(ending(done));
  const terminal = new FakeTerminal();
  await terminal.run("migrate", "db-1", "--to", "b", "--socket", agent.socketPath);
  expect(terminal.stdout).toBe(
    [
      "db-1 runs on b.",
      "Downtime        VM 124 ms · client not observed · guest not observed · QEMU 118 ms",
      "Disruption      span not observed · sum not observed",
      "Total time      3.2 s · source empty after 3.3 s",
      "Migrated data   wire out 530 MiB · wire in 3 MiB · QEMU 512 MiB",
      "Degradation     not observed",
      "Correctness     verified",
      "godwit report m-1 shows everything.",
      "",
    ].join("\n"),
  );
});

test("the whole report in words holds the rounds and the timeline", async () => {
  await using agent = await FakeAgent.start(ending(done));
  const terminal = new FakeTerminal();
  await terminal.run("report", "db-1", "--socket", agent.socketPath);
  expect(terminal.stdout).toContain("ROUND");
  expect(terminal.stdout).toMatch(/3021\.4 ms {2}a {5}STOP/);
  expect(terminal.stdout).toContain("ok  one owner: a stopped before b ran");
});

test("--detach returns at once and says how to follow", async () => {
  await using agent = await FakeAgent.start({ vms: () => [vm()], migrate: () => migrationOf() });
  const terminal = new FakeTerminal();
  expect(await terminal.run("migrate", "db-1", "--to", "b", "--detach", "--socket", agent.socketPath)).toBe(
    0,
  );
  expect(terminal.stdout).toContain("godwit watch m-1");
  expect(agent.calls.map(({ key }) => key)).toEqual(["vms", "migrate"]);
});

describe("Ctrl-C during migrate", () => {
  test("cancels, says so, and the exit code is cancelled", async () => {
    let state = migrationOf();
    await using agent = await FakeAgent.start({
      ...ending(done),
      migration: () => state,
      cancel: () => (state = migrationOf({ phase: "aborted", outcome: "cancelled" })),
    });
    const terminal = new FakeTerminal();
    const running = terminal.run("migrate", "db-1", "--to", "b", "--socket", agent.socketPath);
    await until(() => terminal.stderr.includes("copying"), "the migration is shown");
    terminal.ctrlC();
    expect(await running).toBe(4);
    expect(terminal.stderr).toContain("Cancelling migration m-1. Ctrl-C again leaves it to the agents.");
    expect(terminal.stdout).toContain("Cancelled: db-1 stays on a.");
  });

  test("before the agent answered cancels as soon as it has", async () => {
    let state = migrationOf();
    let answer: (view: MigrationView) => void = () => {};
    const asked = new Promise<MigrationView>((resolve) => (answer = resolve));
    await using agent = await FakeAgent.start({
      ...ending(done),
      migrate: () => asked,
      migration: () => state,
      cancel: () => (state = migrationOf({ phase: "aborted", outcome: "cancelled" })),
    });
    const terminal = new FakeTerminal();
    const running = terminal.run("migrate", "db-1", "--to", "b", "--socket", agent.socketPath);
    await until(() => agent.calls.some(({ key }) => key === "migrate"), "the request arrived");
    terminal.ctrlC();
    answer(migrationOf());
    expect(await running).toBe(4);
  });

  test("twice leaves the migration to the agents, with 130", async () => {
    await using agent = await FakeAgent.start({
      ...ending(done),
      migration: () => migrationOf(),
      cancel: () => migrationOf({ phase: "cancelling" }),
    });
    const terminal = new FakeTerminal();
    const running = terminal.run("migrate", "db-1", "--to", "b", "--socket", agent.socketPath);
    await until(() => terminal.stderr.includes("copying"), "the migration is shown");
    terminal.ctrlC();
    terminal.ctrlC();
    expect(await running).toBe(130);
    expect(terminal.stderr).toContain("Migration m-1 goes on; godwit watch m-1 follows it.");
  });

  test("too late is told, and the migration is followed to its end", async () => {
    let state = migrationOf({ phase: "handed-over", progress: progressOf({ phase: "handed-over" }) });
    await using agent = await FakeAgent.start({
      ...ending(done),
      migration: () => state,
      cancel: () => {
        state = migrationOf(done);
        throw new CodedError("TOO_LATE", { migration: "m-1", phase: "handed-over" });
      },
    });
    const terminal = new FakeTerminal();
    const running = terminal.run("migrate", "db-1", "--to", "b", "--socket", agent.socketPath);
    await until(() => terminal.stderr.includes("handed-over"), "the migration is shown");
    terminal.ctrlC();
    expect(await running).toBe(0);
    expect(terminal.stderr).toContain("it can no longer be cancelled");
  });
});

test("Ctrl-C during watch only stops watching", async () => {
  await using agent = await FakeAgent.start({
    migrations: () => [migrationOf()],
    migration: () => migrationOf(),
  });
  const terminal = new FakeTerminal();
  const running = terminal.run("watch", "db-1", "--socket", agent.socketPath);
  await until(() => terminal.stderr.includes("copying"), "the migration is shown");
  terminal.ctrlC();
  expect(await running).toBe(130);
  expect(agent.calls.some(({ key }) => key === "cancel")).toBe(false);
});

test("cancel waits for the end; cancelled is what was asked for", async () => {
  await using agent = await FakeAgent.start({
    migrations: () => [migrationOf()],
    cancel: () => migrationOf({ phase: "cancelling" }),
    migration: () => migrationOf({ phase: "aborted", outcome: "cancelled" }),
  });
  const terminal = new FakeTerminal();
  expect(await terminal.run("cancel", "db-1", "--socket", agent.socketPath)).toBe(0);
  expect(terminal.stdout).toBe("Cancelled: db-1 stays on a.\n");
});

test("a cancel that ends elsewhere than cancelled is not a success", async () => {
  await using agent = await FakeAgent.start({
    migrations: () => [migrationOf()],
    cancel: () => migrationOf({ phase: "cancelling" }),
    migration: () => migrationOf(done),
  });
  expect(await new FakeTerminal().run("cancel", "m-1", "--socket", agent.socketPath)).toBe(1);
});

test("check prints every finding and leaves with 3 when blocked", async () => {
  let ok = false;
  await using agent = await FakeAgent.start({ vms: () => [vm()], check: () => checked(ok) });
  const blocked = new FakeTerminal();
  expect(await blocked.run("check", "db-1", "--to", "b", "--socket", agent.socketPath)).toBe(3);
  expect(blocked.stdout).toBe(
    "blocker QEMU_OLDER: b has an older QEMU.\n  → Upgrade QEMU on b.\ndb-1 cannot move from a to b.\n",
  );
  ok = true;
  const clear = new FakeTerminal();
  expect(await clear.run("check", "db-1", "--to", "b", "--socket", agent.socketPath, "-o", "json")).toBe(0);
  expect(JSON.parse(clear.stdout)).toEqual(checked(true));
});

test("list, status, history, host and cleanup show tables", async () => {
  await using agent = await FakeAgent.start({
    vms: () => [vm()],
    migrations: () => [migrationOf(), migrationOf({ id: "m-0", ...done })],
    host: () => ({ facts, peers: [{ name: "b", address: "192.0.2.2:7465", reachable: true, detail: "" }] }),
    cleanup: () => ({ removed: ["tap gw1"], kept: [] }),
  });
  const show = async (...argv: string[]): Promise<string> => {
    const terminal = new FakeTerminal();
    expect(await terminal.run(...argv, "--socket", agent.socketPath)).toBe(0);
    return terminal.stdout;
  };
  expect(await show("list")).toBe(
    "NAME  HOST  STATE    OWNER   MEMORY  VCPUS  ACCELERATOR  MIGRATION\n" +
      "db-1  a     running  a      512 MiB      1  tcg          -\n",
  );
  const status = await show("status");
  expect(status).toContain("m-1");
  expect(status).not.toContain("m-0");
  expect(await show("history", "--limit", "1")).not.toContain("m-0");
  expect(await show("host", "show")).toContain("192.0.2.2:7465");
  expect(await show("cleanup")).toBe("Removed 1:\n  tap gw1\n");
});

test("text from elsewhere cannot steer the terminal", async () => {
  const reason = "\u001B[2J\u001B]0;owned\u0007gone\r\nroot#";
  await using agent = await FakeAgent.start({
    migrations: () => [migrationOf({ outcome: "failed", phase: "aborted", reason })],
  });
  const terminal = new FakeTerminal({ tty: true });
  await terminal.run("history", "--socket", agent.socketPath);
  // oxlint-disable-next-line no-control-regex -- that none is left is the point
  expect(terminal.stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f]/);
  expect(terminal.stdout).toContain("gone  root#");
});

test("a machine spec is read from YAML; a wrong key is refused with its name", async () => {
  await using agent = await FakeAgent.start({ run: () => vm() });
  const file = join(folder, "db-1.yaml");
  const head = "apiVersion: godwit/v1\nkind: Machine\nmetadata: { name: db-1 }\n";
  writeFileSync(file, `${head}spec: { memory: 512MiB }\n`);
  const good = new FakeTerminal();
  expect(await good.run("run", file, "--socket", agent.socketPath)).toBe(0);
  expect(good.stdout).toBe("db-1 is running on a.\n");
  writeFileSync(file, `${head}spec: { memory: 512 }\n`);
  const bad = new FakeTerminal();
  expect(await bad.run("run", file, "--socket", agent.socketPath)).toBe(2);
  expect(bad.stderr).toContain("spec.memory");
});

describe("which agent is asked", () => {
  const lab = (hosts: { name: string; socket: string }[]): Record<string, string> => {
    mkdirSync(join(folder, "default"));
    writeFileSync(join(folder, "default", "lab.json"), JSON.stringify({ name: "default", hosts }));
    return { GODWIT_LAB_HOME: folder };
  };

  test("in a lab, the one of the host that owns the VM", async () => {
    await using a = await FakeAgent.start({ vms: () => [vm("b")] });
    await using b = await FakeAgent.start({ stop: () => vm("b") });
    const env = lab([
      { name: "a", socket: a.socketPath },
      { name: "b", socket: b.socketPath },
    ]);
    expect(await new FakeTerminal({ env }).run("stop", "db-1", "--lab", "default")).toBe(0);
    expect(a.calls.map(({ key }) => key)).toEqual(["vms"]);
    expect(b.calls.map(({ key }) => key)).toEqual(["stop"]);
  });

  test("in a lab, a migration is found on whichever host was its source", async () => {
    await using a = await FakeAgent.start({ migrations: () => [migrationOf({ side: "target" })] });
    await using b = await FakeAgent.start({ migrations: () => [migrationOf()], report: () => reportOf() });
    const env = lab([
      { name: "a", socket: a.socketPath },
      { name: "b", socket: b.socketPath },
    ]);
    expect(await new FakeTerminal({ env }).run("report", "m-1", "--lab", "default")).toBe(0);
    expect(b.calls.map(({ key }) => key)).toContain("report");
  });

  test("--host names one of the lab's; an unknown one is refused with those that exist", async () => {
    await using a = await FakeAgent.start({ vms: () => [] });
    const env = lab([{ name: "a", socket: a.socketPath }]);
    expect(await new FakeTerminal({ env }).run("list", "--host", "a")).toBe(0);
    const terminal = new FakeTerminal({ env });
    expect(await terminal.run("list", "--host", "z")).toBe(2);
    expect(terminal.stderr).toContain("Known: a.");
  });

  test("$GODWIT_SOCKET names it", async () => {
    await using agent = await FakeAgent.start({ vms: () => [] });
    expect(await new FakeTerminal({ env: { GODWIT_SOCKET: agent.socketPath } }).run("list")).toBe(0);
  });

  test("--socket and --host together are refused", async () => {
    const terminal = new FakeTerminal();
    expect(await terminal.run("list", "--socket", "/x", "--host", "a")).toBe(2);
    expect(terminal.stderr).toContain("--socket and --host");
  });
});

describe("refusals", () => {
  test("the sentence, why, and what to do next", async () => {
    const terminal = new FakeTerminal();
    expect(await terminal.run("list", "--socket", "/nonexistent/agent.sock")).toBe(1);
    expect(terminal.stderr).toBe(
      [
        "error: No agent answers at /nonexistent/agent.sock.",
        "  because: connect ENOENT /nonexistent/agent.sock",
        "→ Start one: godwit agent (or, to try things out: godwit lab up).",
        "",
      ].join("\n"),
    );
    expect(terminal.stdout).toBe("");
  });

  test("with -o json, a problem object on stderr and nothing on stdout", async () => {
    const terminal = new FakeTerminal();
    expect(await terminal.run("list", "--socket", "/nonexistent/agent.sock", "-o", "json")).toBe(1);
    expect(JSON.parse(terminal.stderr)).toMatchObject({ code: "AGENT_UNREACHABLE", status: 503 });
    expect(terminal.stdout).toBe("");
  });

  test.each([
    [["migrate", "db-1"], "error: required option '--to <host>' not specified"],
    [["migrate", "db-1", "--to", "b", "--bandwidth", "100"], 'error: "100" is not a rate: a unit is needed.'],
    [
      ["migrate", "db-1", "--to", "b", "--tecnique", "x"],
      "error: unknown option '--tecnique' (Did you mean --technique?)",
    ],
    [["frobnicate"], "error: unknown command 'frobnicate'"],
    [["list", "-o", "xml"], "Allowed choices are table, json, yaml."],
    [["host"], "error: A part of host is missing."],
    [["status", "--lab", "nowhere"], "error: No lab named nowhere is up."],
    [["history", "--limit", "all"], "error: --limit all: a whole number above 0 is needed."],
  ])("%j is a usage error", async (argv, sentence) => {
    const terminal = new FakeTerminal();
    expect(await terminal.run(...argv)).toBe(2);
    expect(terminal.stderr).toContain(sentence);
    expect(terminal.stderr).toContain("→ ");
    expect(terminal.stdout).toBe("");
  });
});

describe("colour", () => {
  const escape = "\u001B[";
  const refused = async (terminal: FakeTerminal, ...argv: string[]): Promise<string> => {
    await terminal.run("list", "--socket", "/nonexistent/x.sock", ...argv);
    return terminal.stderr;
  };
  test("is there on a terminal", async () => {
    expect(await refused(new FakeTerminal({ tty: true }))).toContain(escape);
  });
  test("is not there in a pipe, with NO_COLOR, or with --no-color", async () => {
    expect(await refused(new FakeTerminal())).not.toContain(escape);
    expect(await refused(new FakeTerminal({ tty: true, env: { NO_COLOR: "1" } }))).not.toContain(escape);
    expect(await refused(new FakeTerminal({ tty: true }), "--no-color")).not.toContain(escape);
  });
});

test("every verb's help shows an example", async () => {
  const { verbs } = await import("./commands/index.ts");
  // The lab's own verbs are the lab's to test.
  for (const { name } of verbs.filter((verb) => verb.hidden !== true && verb.name !== "lab")) {
    const terminal = new FakeTerminal();
    expect(await terminal.run(name, "--help")).toBe(0);
    expect(terminal.stdout, name).toMatch(/Examples?:\n {2}\$ .*godwit/);
  }
});
