/** The package as somebody installs it: packed, installed by npm into a place of its own, and used from there. */
import { execFile, spawn, type ChildProcess } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";

import { afterAll, beforeAll, expect, test } from "vitest";
import { stringify } from "yaml";

import { localRoutes } from "../../src/api/routes.ts";
import { healthy } from "../../src/lab/agents.ts";
import { ROOT, sourceFiles } from "../sources.ts";

const INSTALL_TIMEOUT_MS = 240_000;
const RUN_TIMEOUT_MS = 60_000;
const READY_DEADLINE_MS = 30_000;

const run = promisify(execFile);
/** Nothing of this working tree on the PATH: what is needed comes with the package. */
const env = { PATH: "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", HOME: "/nonexistent" };

let folder: string;
let installed: string;
let program: string;

const godwit = async (...argv: readonly string[]): Promise<string> =>
  (await run(program, argv, { env, cwd: folder, timeout: RUN_TIMEOUT_MS })).stdout;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "godwit-package-"));
  await run("npm", ["pack", "--silent", "--pack-destination", folder], {
    cwd: ROOT,
    timeout: INSTALL_TIMEOUT_MS,
  });
  const packed = readdirSync(folder).find((name) => name.endsWith(".tgz")) ?? "";
  const prefix = join(folder, "prefix");
  const options = ["--prefer-offline", "--no-audit", "--no-fund", "--loglevel=error"];
  await run("npm", ["install", "-g", "--prefix", prefix, ...options, join(folder, packed)], {
    cwd: folder,
    timeout: INSTALL_TIMEOUT_MS,
  });
  installed = join(prefix, "lib/node_modules/godwit");
  program = join(prefix, "bin/godwit");
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("it knows its version and its verbs", async () => {
  expect(await godwit("--version")).toBe("0.1.0\n");
  expect(await godwit("--help")).toContain("migrate");
});

test("what is started by path is there, and so is what is read beside a module", () => {
  const started = sourceFiles("src").flatMap(({ path, text }) =>
    [...text.matchAll(/"(\.{1,2}\/[\w/-]+\.ts)"/g)]
      .filter(() => !path.endsWith(".test.ts") && text.includes("programPath(import.meta.url"))
      .map(([, name]) => join(dirname(path), name ?? "").replace(/^src(.*)\.ts$/, "dist$1.js")),
  );
  expect(started).toContain("dist/relay/main.js");
  const read = [
    "dist/page/kernels.wasm",
    "dist/lab/guest/init.sh",
    "dist/lab/guest/programs/writer.c",
    "schemas/report.schema.json",
    "deploy/systemd/godwit-agent.service",
    "man/godwit.1",
    "LICENSE",
    "NOTICE",
  ];
  expect([...started, ...read].filter((path) => !existsSync(join(installed, path)))).toEqual([]);
});

test("no source and no test is in it", () => {
  const all = readdirSync(installed, { recursive: true, encoding: "utf8" }).filter(
    (path) => !path.startsWith("node_modules"),
  );
  expect(all.filter((path) => /(?<!\.d)\.ts$|\.test\./.test(path))).toEqual([]);
});

test("doctor names files of the package that are there", async () => {
  // Whether this machine is fit is not the package's affair, so neither is the exit code.
  const told = await godwit("doctor", "-o", "json").catch((error: { stdout: string }) => error.stdout);
  const { findings } = JSON.parse(told) as { findings: { check: string; next: string }[] };
  const example = /\S+agent\.example\.yaml/.exec(
    findings.find((one) => one.check === "configuration")?.next ?? "",
  );
  expect(readFileSync(example?.[0] ?? "", "utf8")).toContain("stateDir");
});

test("an agent starts from it, answers, and ends when it is told to", async () => {
  const file = join(folder, "agent.yaml");
  const socket = join(folder, "agent.sock");
  const tlsDir = join(folder, "pki");
  await godwit(
    "host",
    "init",
    "--name",
    "a",
    "--address",
    "127.0.0.1",
    "--ca",
    join(folder, "ca"),
    "--out",
    tlsDir,
  );
  const config = {
    name: "a",
    stateDir: join(folder, "state"),
    socket,
    listen: { address: "127.0.0.1", port: await freePort() },
    tlsDir,
  };
  writeFileSync(file, stringify(config), { mode: 0o600 });
  const agent = spawn(program, ["agent", "--config", file], { env, stdio: "ignore" });
  const ended = endOf(agent);
  try {
    const deadline = performance.now() + READY_DEADLINE_MS;
    while (!(await healthy(socket))) {
      if (performance.now() > deadline || agent.exitCode !== null)
        throw new Error("the agent does not answer");
      await delay(50);
    }
    const told = localRoutes.host.answer.parse(
      JSON.parse(await godwit("host", "show", "--socket", socket, "-o", "json")),
    );
    expect(told.facts).toMatchObject({ name: "a", godwit: "0.1.0" });
  } finally {
    agent.kill("SIGTERM");
  }
  expect(await ended).toBe(0);
});

test("as a library, its types and its code are found by its name", async () => {
  const project = join(folder, "project");
  mkdirSync(join(project, "node_modules"), { recursive: true });
  await run("ln", ["-s", installed, join(project, "node_modules/godwit")]);
  writeFileSync(join(project, "package.json"), JSON.stringify({ type: "module" }));
  writeFileSync(
    join(project, "use.ts"),
    // The second line would be an error if the types were not found and all were "any".
    'import { connect } from "godwit";\n' +
      "// @ts-expect-error\nexport const none = connect('/x').noSuchRoute;\n" +
      "throw new Error(typeof connect);\n",
  );
  // The example of the documents is a program too.
  const [, example = ""] = /```ts\n([\s\S]*?)```/.exec(readFileSync(join(ROOT, "docs/api.md"), "utf8")) ?? [];
  expect(example).toContain('from "godwit"');
  writeFileSync(join(project, "example.ts"), example);
  const tsc = join(ROOT, "node_modules/.bin/tsc");
  await run(tsc, ["--strict", "--module", "nodenext", "--skipLibCheck", "use.ts", "example.ts"], {
    cwd: project,
  });
  await expect(run(process.execPath, ["use.js"], { cwd: project })).rejects.toThrow("function");
});

const endOf = (child: ChildProcess): Promise<number | null> =>
  new Promise((resolve) => child.once("exit", (code) => resolve(code)));

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}
