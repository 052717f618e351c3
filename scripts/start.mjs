#!/usr/bin/env node
/**
 * Makes a fresh machine ready, then runs a verb: `node scripts/start.mjs demo|test|check|godwit [args]`.
 *
 * Plain JavaScript for Node 18 and newer with nothing installed, because it is what installs. It brings the npm
 * packages (among them the Node 24 that everything else needs) and, for verbs that start VMs, Debian packages. All it
 * has to say goes to stderr: stdout belongs to the verb.
 */
import { spawn, spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, lstatSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { constants as osConstants, homedir, tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..");
const MODULES = join(ROOT, "node_modules");
const NODE_NEEDED = 24;
const EXIT_USAGE = 2;

/** A program that must be there, the Debian package that has it, and the verbs that need it if not all do. */
const HOST_PROGRAMS = [
  ["qemu-system-x86_64", "qemu-system-x86"],
  ["qemu-img", "qemu-utils"],
  ["ip", "iproute2"],
  ["promtool", "prometheus", ["test", "check"]],
  // Tests of the dashboard look at it through a browser.
  ["chromium", "chromium", ["test", "check"]],
];

const say = (text) => process.stderr.write(`${text}\n`);

function leave(text, code) {
  say(text);
  process.exit(code);
}

/** Runs to the end with stdout on our stderr. */
function quietly(command, args, env = {}) {
  const { status, error } = spawnSync(command, args, {
    cwd: ROOT,
    stdio: ["ignore", 2, 2],
    env: { ...process.env, ...env },
  });
  if (error !== undefined) say(`${command}: ${error.message}`);
  return status ?? 1;
}

// ---- npm packages

const readJson = (path) => JSON.parse(readFileSync(path, "utf8"));

/** npm writes what it installed into a second lockfile, at the end: so a broken-off install counts as missing. */
function packagesFit() {
  try {
    const wanted = readJson(join(ROOT, "package-lock.json")).packages;
    const present = readJson(join(MODULES, ".package-lock.json")).packages;
    return Object.entries(wanted).every(([path, { version, optional }]) => {
      if (path === "") return true;
      return present[path] === undefined ? optional === true : present[path].version === version;
    });
  } catch {
    return false;
  }
}

function ensurePackages() {
  if (packagesFit()) return;
  // A link belongs to another working tree; reinstalling would pull its packages away from under it.
  if (existsSync(MODULES) && lstatSync(MODULES).isSymbolicLink()) return;
  say("Installing npm packages (once) …");
  rmSync(MODULES, { recursive: true, force: true });
  // Not `npm ci`: it refuses a lockfile that lacks optional packages of other platforms. The versions and checksums of
  // the lockfile hold here as well, and --no-save keeps it as it is.
  const args = [
    "install",
    "--no-save",
    "--no-audit",
    "--no-fund",
    "--no-update-notifier",
    "--loglevel=error",
  ];
  const npm = process.env.npm_execpath;
  const status = npm?.endsWith(".js") ? quietly(process.execPath, [npm, ...args]) : quietly("npm", args);
  if (status !== 0) leave("npm install failed; its own words are above.", 1);
}

// ---- Node

function majorOf(node) {
  const { stdout } = spawnSync(node, ["--version"], { encoding: "utf8" });
  return Number(/^v(\d+)/.exec(stdout ?? "")?.[1] ?? 0);
}

function findNode() {
  const own = join(MODULES, ".bin", "node");
  if (existsSync(own) && majorOf(own) >= NODE_NEEDED) return own;
  if (Number(process.versions.node.split(".")[0]) >= NODE_NEEDED) return process.execPath;
  return leave(
    `godwit needs Node ${NODE_NEEDED} or newer; this is ${process.version}, and npm brought none for ` +
      `${process.platform}-${process.arch}. Install Node ${NODE_NEEDED} and run the command again.`,
    1,
  );
}

// ---- Debian packages

/** Root's tools are not on everybody's PATH. */
const PATH = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/sbin", "/usr/local/sbin"];

function onPath(program) {
  return PATH.some((dir) => {
    try {
      accessSync(join(dir, program), constants.X_OK);
      return dir !== "";
    } catch {
      return false;
    }
  });
}

const missingHostPackages = (verb) =>
  HOST_PROGRAMS.filter(([program, , verbs = [verb]]) => verbs.includes(verb) && !onPath(program)).map(
    ([, debian]) => debian,
  );

/** Packages of daemons of which only the programs are wanted. */
const UNWANTED_DAEMONS = ["prometheus"];

/** Runs apt so that none of them is left running or enabled: under systemd they are masked meanwhile. */
function withoutDaemons(packages, install) {
  const daemons = UNWANTED_DAEMONS.filter((name) => packages.includes(name));
  const each = (command, argsOf) => {
    if (!onPath(command)) return;
    for (const name of daemons) spawnSync(command, argsOf(name), { stdio: "ignore" });
  };
  const systemd = existsSync("/run/systemd/system");
  if (systemd) each("systemctl", (name) => ["mask", "--runtime", name]);
  const done = install();
  if (systemd) each("systemctl", (name) => ["unmask", "--runtime", name]);
  else each("service", (name) => [name, "stop"]);
  each("systemctl", (name) => ["disable", name]);
  return done;
}

function ensureHostPackages(verb) {
  const missing = missingHostPackages(verb);
  if (missing.length === 0) return;
  const install = ["install", "-y", "--no-install-recommends", ...missing];
  if (process.getuid?.() !== 0 || !onPath("apt-get")) {
    leave(
      `These host packages are missing: ${missing.join(", ")}. Type:\n` +
        `  sudo sh -c 'apt-get update && apt-get ${install.join(" ")}'`,
      EXIT_USAGE,
    );
  }
  say(`Installing host packages (once): ${missing.join(", ")} …`);
  const apt = (...args) => quietly("apt-get", ["-q", ...args], { DEBIAN_FRONTEND: "noninteractive" });
  // The package lists may be there and fresh; if not, fetch them and try again.
  const installed = withoutDaemons(
    missing,
    () => apt(...install) === 0 || (apt("update") === 0 && apt(...install) === 0),
  );
  if (!installed) leave("apt-get failed; its own words are above.", 1);
  const still = missingHostPackages(verb);
  if (still.length > 0) leave(`Installed, but not found on the PATH: ${still.join(", ")}.`, 1);
}

// ---- verbs

/**
 * Whether Ctrl-C reaches the child by itself, because the terminal sends it to the whole process group. Passing it on
 * then would make one Ctrl-C look like two. Fields of /proc/PID/stat: 5 pgrp, 7 tty, 8 the terminal's foreground group.
 */
function inForeground() {
  try {
    const stat = readFileSync("/proc/self/stat", "utf8");
    const [, , pgrp, , tty, foreground] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return tty !== "0" && pgrp === foreground;
  } catch {
    return process.stdin.isTTY === true;
  }
}

/** Runs a child in our place: same terminal, signals passed on, its end is our end. */
function become(node, args) {
  return new Promise((resolve) => {
    const child = spawn(node, args, {
      cwd: process.cwd(),
      stdio: "inherit",
      env: { ...process.env, PATH: [join(MODULES, ".bin"), ...PATH].join(delimiter) },
    });
    const passOn = (signal) => child.kill(signal);
    const interrupted = () => {
      if (!inForeground()) child.kill("SIGINT");
    };
    process.on("SIGINT", interrupted);
    process.on("SIGTERM", passOn);
    process.on("SIGHUP", passOn);
    child.on("error", (error) => {
      say(error.message);
      resolve(1);
    });
    child.on("exit", (code, signal) => {
      process.off("SIGINT", interrupted);
      process.off("SIGTERM", passOn);
      process.off("SIGHUP", passOn);
      resolve(code ?? 128 + (osConstants.signals[signal] ?? 0));
    });
  });
}

/** The dashboard, bundled anew: it takes two seconds, and an old one would mislead. */
function ensureWeb(node) {
  const status = quietly(node, [join(ROOT, "scripts", "build-web.ts")]);
  if (status !== 0) leave("The dashboard could not be built; the words above say why.", 1);
}

function demo(node, args) {
  if (args.includes("--web")) ensureWeb(node);
  keepCompiled();
  return become(node, [MAIN, "demo", ...args]);
}

/** vitest, then one line for whoever reads only the last one. */
async function test(node, args) {
  ensureWeb(node);
  const folder = mkdtempSync(join(tmpdir(), "godwit-test-"));
  const result = join(folder, "result.json");
  try {
    const code = await become(node, [
      join(MODULES, "vitest", "vitest.mjs"),
      "run",
      "--root",
      ROOT,
      "--reporter=default",
      "--reporter=json",
      `--outputFile.json=${result}`,
      ...args,
    ]);
    let passed = 0;
    let failed = 0;
    try {
      const { numPassedTests, numFailedTests, testResults } = readJson(result);
      passed = numPassedTests;
      // A file that cannot be loaded has no tests to fail; it is counted as one.
      const broken = testResults.filter(
        ({ status, assertionResults }) =>
          status === "failed" && assertionResults.every((one) => one.status !== "failed"),
      );
      failed = numFailedTests + broken.length;
    } catch {
      say("vitest left no result.");
    }
    const verdict = code !== 0 ? code : failed > 0 || passed === 0 ? 1 : 0;
    if (verdict !== 0 && failed === 0) say("No test failed, but the run did: see above.");
    process.stdout.write(`${passed} passed, ${failed} failed\n`);
    return verdict;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function check(node) {
  /** @type {readonly [string, readonly string[]][]} */
  const tools = [
    ["tsc", ["-p", ROOT]],
    ["tsc", ["-p", join(ROOT, "src", "web")]],
    ["oxlint", ["--type-aware", "--config", join(ROOT, ".oxlintrc.json"), "src", "test"]],
    ["oxfmt", ["--check", "."]],
  ];
  let worst = 0;
  process.chdir(ROOT);
  for (const [name, args] of tools) {
    say(`— ${name}`);
    const status = await become(join(MODULES, ".bin", name), args);
    if (status !== 0) say(`${name} is not content.`);
    worst ||= status;
  }
  say("— vitest");
  const status = await test(node, []);
  return worst || status;
}

const MAIN = join(ROOT, "src", "cli", "main.ts");
const verbs = {
  demo: { vms: true, run: demo },
  test: { vms: true, run: test },
  check: { vms: true, run: check },
  godwit: { vms: false, run: (node, args) => (keepCompiled(), become(node, [MAIN, ...args])) },
};

/** What V8 compiled is kept, as by bin/godwit: relays start sooner. */
function keepCompiled() {
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), ".cache");
  process.env.NODE_COMPILE_CACHE ||= join(cache, "godwit", "compiled");
}

const [verb = "", ...args] = process.argv.slice(2);
if (!Object.prototype.hasOwnProperty.call(verbs, verb)) {
  leave(`usage: node scripts/start.mjs ${Object.keys(verbs).join("|")} [args]`, EXIT_USAGE);
}
ensurePackages();
const node = findNode();
if (verbs[verb].vms) ensureHostPackages(verb);
process.exitCode = await verbs[verb].run(node, args);
