/** The lab's networks and its end, on this machine's kernel. Agents are left out; nothing here needs a VM. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";

import { healthy, startAgent, stopAgent } from "../../src/lab/agents.ts";
import { type LabParts, type LabState, labDown, labList, labUp, loadLab } from "../../src/lab/lab.ts";
import { labPlace } from "../../src/lab/names.ts";
import { namespacesOf } from "../../src/lab/network.ts";
import { isAlive, startDetached } from "../../src/lab/processes.ts";
import { inside, run } from "../../src/lab/run.ts";
import { shapeOf } from "../../src/lab/shape.ts";
import { saveLab } from "../../src/lab/state.ts";
import { CodedError } from "../../src/std/errors.ts";

const root = process.getuid?.() === 0;
if (!root) console.warn("lab.test.ts is skipped: network namespaces need root.");

const MEBIBYTE = 1 << 20;

/** A process in the host's namespace in an agent's place. */
const bare: LabParts = {
  prepare: () => Promise.resolve(),
  start: (_lab, host) =>
    Promise.resolve(startDetached({ netns: host.netns, command: ["sleep", "600"], log: host.logFile })),
};

const ownInterfaces = (): Promise<string> => run("ip", ["-o", "link"]);

/** Runs a Node program in a namespace; resolves with its standard output when it ends. */
function nodeIn(netns: string | null, program: string): { child: ChildProcess; output: Promise<string> } {
  const [command, args] = inside(netns, [process.execPath, "-e", program]);
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] });
  const output = new Promise<string>((resolve) => {
    let text = "";
    child.stdout?.on("data", (chunk: Buffer) => (text += chunk.toString()));
    child.on("close", () => resolve(text));
  });
  return { child, output };
}

/** A server that takes `bytes`, then answers one byte. It says "up" when it listens. */
const sink = (bytes: number): string => `
  require("net").createServer((socket) => {
    let left = ${bytes};
    socket.on("data", (chunk) => { left -= chunk.length; if (left <= 0) socket.end("k", () => process.exit(0)); });
  }).listen(5001, "0.0.0.0", () => console.log("up"));`;

/** Sends `bytes` and prints the milliseconds until the answer, connecting included. */
const source = (address: string, bytes: number): string => `
  const socket = require("net").connect(5001, ${JSON.stringify(address)});
  const began = process.hrtime.bigint();
  socket.end; socket.write(Buffer.alloc(${bytes}));
  socket.on("data", () => { console.log(Number(process.hrtime.bigint() - began) / 1e6); process.exit(0); });`;

async function transferMs(lab: LabState, bytes: number): Promise<number> {
  const [a, b] = lab.hosts;
  if (a === undefined || b === undefined) throw new Error("two hosts are needed");
  const server = nodeIn(b.netns, sink(bytes));
  await new Promise((resolve) => server.child.stdout?.once("data", resolve));
  const ms = Number(await nodeIn(a.netns, source(b.address, bytes)).output);
  await server.output;
  return ms;
}

describe.runIf(root)("the lab", () => {
  const home = mkdtempSync(join(tmpdir(), "godwit-lab-test-"));
  const before = process.env["GODWIT_LAB_HOME"];
  const names = ["one", "two"];
  let interfaces = "";

  beforeAll(async () => {
    process.env["GODWIT_LAB_HOME"] = home;
    interfaces = await ownInterfaces();
  });
  afterEach(async () => {
    for (const name of names) await labDown(name);
  });
  afterAll(() => {
    if (before === undefined) delete process.env["GODWIT_LAB_HOME"];
    else process.env["GODWIT_LAB_HOME"] = before;
    rmSync(home, { recursive: true, force: true });
  });

  const leftovers = async (name: string): Promise<unknown> => ({
    namespaces: await namespacesOf(labPlace(name).id),
    folder: existsSync(labPlace(name).folder),
    link: existsSync(labPlace(name).shortFolder),
  });
  const nothing = { namespaces: [], folder: false, link: false };

  it("lets two labs stand side by side, each removed without the other", async () => {
    const one = await labUp({ name: "one", hosts: ["a", "b"] }, bare);
    const two = await labUp({ name: "two", hosts: ["a", "b"] }, bare);
    expect((await labList()).map((lab) => [lab.name, lab.state])).toEqual([
      ["one", "up"],
      ["two", "up"],
    ]);
    expect(await ownInterfaces()).toBe(interfaces);

    await labDown("one");
    expect(await leftovers("one")).toEqual(nothing);
    expect(one.hosts.some((host) => host.agent !== null && isAlive(host.agent))).toBe(false);
    expect(two.hosts.every((host) => host.agent !== null && isAlive(host.agent))).toBe(true);
    expect(await transferMs(two, 1000)).toBeGreaterThan(0);
  });

  it("refuses a second lab of one name and leaves the first alone", async () => {
    await labUp({ name: "one", hosts: ["a"] }, bare);
    await expect(labUp({ name: "one", hosts: ["a"] }, bare)).rejects.toMatchObject({ code: "LAB_EXISTS" });
    expect((await labList()).map((lab) => lab.state)).toEqual(["up"]);
  });

  it("carries no more than the link's rate, in each direction", async () => {
    const rate = 4 * MEBIBYTE;
    const lab = await labUp({ name: "one", hosts: ["a", "b"], linkBytesPerSecond: rate }, bare);
    expect(lab.link).toMatchObject({ shaped: true, rateBytesPerSecond: rate });
    const bytes = 6 * MEBIBYTE;
    // Each of the two shapers on the way may let one bucket through at once.
    const leastMs = ((bytes - 2 * shapeOf(rate, 0).burstBytes) / rate) * 1000;
    expect(await transferMs(lab, bytes)).toBeGreaterThan(leastMs);
    const backwards = { ...lab, hosts: lab.hosts.toReversed() };
    expect(await transferMs(backwards, bytes)).toBeGreaterThan(leastMs);
  });

  it("delays what goes from host to host, each way", async () => {
    const delayMs = 40;
    const lab = await labUp(
      { name: "one", hosts: ["a", "b"], linkBytesPerSecond: 64 * MEBIBYTE, delayMs },
      bare,
    );
    // Connecting is one round trip, data and answer another.
    expect(await transferMs(lab, 4 * MEBIBYTE)).toBeGreaterThan(4 * delayMs);
    expect(lab.link.note).toMatch(/delayed/);
  });

  it("removes what a crash left: no record, a stray process in a namespace, one recorded on disk", async () => {
    const lab = await labUp({ name: "one", hosts: ["a", "b"] }, bare);
    const [a] = lab.hosts;
    if (a === undefined) throw new Error("a host is needed");
    const stray = startDetached({ netns: a.netns, command: ["sleep", "600"], log: a.logFile });
    rmSync(join(lab.folder, "lab.json"));
    expect(() => loadLab("one")).toThrow(CodedError);
    await labDown("one");
    expect(isAlive(stray)).toBe(false);
    expect(await leftovers("one")).toEqual(nothing);
    expect(await labDown("one")).toEqual({ removed: [] });
  });

  it("finds its namespaces by name when its whole folder is gone", async () => {
    await labUp({ name: "one", hosts: ["a"] }, bare);
    rmSync(labPlace("one").folder, { recursive: true });
    await labDown("one");
    expect(await leftovers("one")).toEqual(nothing);
  });

  it("keeps sockets short when its folder lies deep, and removes the shortcut too", async () => {
    process.env["GODWIT_LAB_HOME"] = join(home, "deep".repeat(20));
    try {
      const lab = await labUp({ name: "one", hosts: ["a"] }, bare);
      const { shortFolder, folder } = labPlace("one");
      expect(shortFolder).not.toBe(folder);
      expect(lab.hosts[0]?.socket.startsWith(`${shortFolder}/`)).toBe(true);
      expect(existsSync(join(shortFolder, "lab.json"))).toBe(true);
      await labDown("one");
      expect(await leftovers("one")).toEqual(nothing);
    } finally {
      rmSync(join(home, "deep".repeat(20)), { recursive: true, force: true });
      process.env["GODWIT_LAB_HOME"] = home;
    }
  });

  it("leaves nothing when an agent does not start", async () => {
    const failing: LabParts = {
      ...bare,
      start: (lab, host) => (host.name === "b" ? Promise.reject(new Error("no")) : bare.start(lab, host)),
    };
    await expect(labUp({ name: "one", hosts: ["a", "b"] }, failing)).rejects.toThrow("no");
    expect(await leftovers("one")).toEqual(nothing);
    expect(readdirSync(home)).toEqual([]);
  });

  it("never ends a process that only has the pid of one of its own", async () => {
    const lab = await labUp({ name: "one", hosts: ["a"] }, bare);
    const bystander = startDetached({ netns: null, command: ["sleep", "600"], log: join(home, "log") });
    try {
      const [a] = lab.hosts;
      if (a === undefined) throw new Error("a host is needed");
      saveLab({ ...lab, hosts: [{ ...a, agent: { ...bystander, startTicks: bystander.startTicks + 1 } }] });
      await stopAgent(loadLab("one"), "a", "SIGKILL");
      await labDown("one");
      expect(isAlive(bystander)).toBe(true);
    } finally {
      process.kill(bystander.pid, "SIGKILL");
      rmSync(join(home, "log"), { force: true });
    }
  });

  it("says with its last words why an agent did not come up", async () => {
    const lab = await labUp({ name: "one", hosts: ["a"] }, { ...bare, start: () => Promise.resolve(null) });
    expect(await healthy(lab.hosts[0]?.socket ?? "")).toBe(false);
    await expect(startAgent(lab, "a")).rejects.toMatchObject({ code: "TOOL_FAILED" });
  });
});
