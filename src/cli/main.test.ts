/** The command line as a person or a script meets it: which agent is asked, what is printed where, refusals. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { FakeAgent } from "../../test/fakes/agent.ts";
import { checked, facts, migrationOf, reportOf, vm, pageWith } from "../../test/fakes/fixtures.ts";
import { FakeTerminal } from "../../test/fakes/terminal.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "godwit-cli-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

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
    migrations: () => pageWith(migrationOf(), migrationOf({ id: "m-0", phase: "done", outcome: "done" })),
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
    migrations: () => pageWith(migrationOf({ outcome: "failed", phase: "aborted", reason })),
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
    await using a = await FakeAgent.start({
      vms: () => [{ ...vm("a"), owner: "b", state: "incoming" }, vm("b")],
    });
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
    await using a = await FakeAgent.start({ migrations: () => pageWith(migrationOf({ side: "target" })) });
    await using b = await FakeAgent.start({
      migrations: () => pageWith(migrationOf()),
      report: () => reportOf(),
    });
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
