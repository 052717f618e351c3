/** What a lab's hosts kept is waited for, counted and gone. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, expect, it } from "vitest";

import { agentConfig } from "../agent/config.ts";
import { agentConfig as labAgentConfig } from "./agents.ts";
import { forgetKept, haveKept, keptStoresDir, keptStoresFolder, relaysEnded } from "./kept-stores.ts";
import type { LabState } from "./state.ts";

let folder: string;
let lab: LabState;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "kept-"));
  const host = (name: string) => ({
    name,
    netns: null,
    address: "127.0.0.1",
    socket: join(folder, name, "agent.sock"),
    configFile: join(folder, name, "agent.yaml"),
    stateDir: join(folder, name),
    logFile: join(folder, name, "agent.log"),
    agent: null,
  });
  lab = {
    name: "lab",
    // No lab's: those have letters and digits.
    id: `_${String(process.pid).slice(-3)}`,
    folder,
    subnet: 1,
    rootless: true,
    link: { rateBytesPerSecond: null, delayMs: 0, shaped: false, note: "" },
    hosts: ["a", "b"].map(host),
    client: { netns: null, address: "127.0.0.1" },
    guests: [],
  };
});
afterEach(() => {
  for (const dir of [folder, keptStoresFolder(lab.id)]) rmSync(dir, { recursive: true, force: true });
});

const put = (host: number, name: string): void => {
  const dir = keptStoresDir(lab, lab.hosts[host] as LabState["hosts"][number]);
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, name), "");
};

it("its agents keep in a folder that is the lab's own, each in one of its own", () => {
  const dirs = lab.hosts.map((host) => {
    const { keptStores } = agentConfig.parse(labAgentConfig(lab, host, folder));
    return keptStores === false ? "" : keptStores.dir;
  });
  expect(dirs).toEqual(["a", "b"].map((host) => join(keptStoresFolder(lab.id), host)));
  expect(keptStoresFolder(lab.id)).toContain(lab.id);
});

it("something is kept once both hosts have it, and nothing once it was forgotten", async () => {
  expect(haveKept(lab)).toBe(false);
  put(0, "b.store");
  put(1, "a.store.77.new");
  expect(haveKept(lab)).toBe(false);
  put(1, "a.store");
  expect(haveKept(lab)).toBe(true);
  await forgetKept(lab);
  expect(haveKept(lab)).toBe(false);
  expect(lab.hosts.flatMap((host) => readdirSync(keptStoresDir(lab, host)))).toEqual([]);
});

it("a relay that still runs is waited for: it may have something to keep", async () => {
  const relay = join(folder, "b", "relays", "m.0");
  mkdirSync(relay, { recursive: true });
  put(0, "b.store");
  let ended = false;
  const forgotten = forgetKept(lab).then(() => (ended = true));
  const stopped = new AbortController();
  const waiting = relaysEnded(lab, stopped.signal);
  stopped.abort(new Error("enough"));
  await expect(waiting).rejects.toThrow();
  expect(ended).toBe(false);
  put(1, "a.store");
  rmSync(relay, { recursive: true });
  await forgotten;
  expect(readdirSync(keptStoresDir(lab, lab.hosts[1] as LabState["hosts"][number]))).toEqual([]);
});
