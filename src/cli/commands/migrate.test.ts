/** A migration as it looks at the prompt: exit codes by outcome, what is printed where, Ctrl-C. */
import { describe, expect, test } from "vitest";
import { parse as parseYaml } from "yaml";

import { FakeAgent, until, type Handlers } from "../../../test/fakes/agent.ts";
import { migrationOf, progressOf, reportOf, vm, pageWith } from "../../../test/fakes/fixtures.ts";
import { FakeTerminal } from "../../../test/fakes/terminal.ts";
import type { MigrationView } from "../../api/migration.ts";
import type { Report } from "../../api/report.ts";
import { CodedError } from "../../std/errors.ts";

/** An agent whose one migration ends as told. */
const ending = (end: Partial<MigrationView>, report: Partial<Report> = {}): Handlers => ({
  vms: () => [vm()],
  migrate: () => migrationOf(),
  migration: () => migrationOf(end),
  migrations: () => pageWith(migrationOf(end)),
  report: () => reportOf(report),
});

const done = { phase: "done", outcome: "done" } as const;

test.each<[string, Partial<MigrationView>, Partial<Report>, number]>([
  ["done", done, {}, 0],
  ["failed", { phase: "aborted", outcome: "failed", reason: "The link broke." }, {}, 1],
  ["lost", { phase: "aborted", outcome: "failed", code: "VM_LOST" }, {}, 7],
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

test("a VM that runs nowhere any more is not said to be at the source", async () => {
  const lost = { phase: "aborted", outcome: "failed", code: "VM_LOST", reason: "Both QEMUs ended." } as const;
  await using agent = await FakeAgent.start(ending(lost));
  const terminal = new FakeTerminal();
  await terminal.run("migrate", "db-1", "--to", "b", "--socket", agent.socketPath);
  expect(terminal.stdout).toContain(
    "db-1 was not migrated, and it runs nowhere any more. Both QEMUs ended.\n→",
  );
  expect(terminal.stdout).not.toContain("still on a");
});

test("recover that takes a VM back has done what was asked", async () => {
  const back = { phase: "aborted", outcome: "failed", code: "TAKEN_BACK", reason: "Taken back." } as const;
  await using agent = await FakeAgent.start({ ...ending(back), recover: () => migrationOf() });
  const terminal = new FakeTerminal();
  expect(await terminal.run("recover", "db-1", "--socket", agent.socketPath)).toBe(0);
  expect(terminal.stdout).toContain("still on a. Taken back.");
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
    migrations: () => pageWith(migrationOf()),
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
    migrations: () => pageWith(migrationOf()),
    cancel: () => migrationOf({ phase: "cancelling" }),
    migration: () => migrationOf({ phase: "aborted", outcome: "cancelled" }),
  });
  const terminal = new FakeTerminal();
  expect(await terminal.run("cancel", "db-1", "--socket", agent.socketPath)).toBe(0);
  expect(terminal.stdout).toBe("Cancelled: db-1 stays on a.\n");
});

test("a cancel that ends elsewhere than cancelled is not a success", async () => {
  await using agent = await FakeAgent.start({
    migrations: () => pageWith(migrationOf()),
    cancel: () => migrationOf({ phase: "cancelling" }),
    migration: () => migrationOf(done),
  });
  expect(await new FakeTerminal().run("cancel", "m-1", "--socket", agent.socketPath)).toBe(1);
});
