/** Which boot stores there are, when one is made, and where they may lie. */
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, expect, it } from "vitest";

import { agentConfigIn } from "../../test/fakes/agent-config.ts";
import { elfOf } from "../../test/fakes/packed.ts";
import { machineSpec } from "../api/machine.ts";
import { keptPrints } from "../relay/kept-prints.ts";
import { bootStoreFile, madeBootStore } from "./boot-stores.ts";

let home: string;
let kernel: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "boot-"));
  kernel = join(home, "vmlinux");
  writeFileSync(kernel, elfOf([new Uint8Array(4096).fill(1)]));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

const config = (bootStores?: unknown) => agentConfigIn(home, { bootStores });
const machine = (spec: object = { kernel }) =>
  machineSpec.parse({
    apiVersion: "godwit/v1",
    kind: "Machine",
    metadata: { name: "web" },
    spec: { memory: "64MiB", ...spec },
  });

it("one is made for a machine's files, for the agent's eyes alone, and found again", async () => {
  expect(madeBootStore(config(), machine())).toBeUndefined();
  const file = await bootStoreFile(config(), machine());
  expect(keptPrints(file ?? "").size).toBeGreaterThan(0);
  expect(statSync(join(home, "boot")).mode & 0o777).toBe(0o700);
  expect(statSync(file ?? "").mode & 0o777).toBe(0o600);
  expect(madeBootStore(config(), machine())).toBe(file);
  const { ino } = statSync(file ?? "");
  expect(await bootStoreFile(config(), machine())).toBe(file);
  expect(statSync(file ?? "").ino).toBe(ino);
});

it("a file that was replaced has another one", async () => {
  const before = await bootStoreFile(config(), machine());
  writeFileSync(kernel, elfOf([new Uint8Array(4096).fill(2)]));
  utimesSync(kernel, 1, 1);
  expect(madeBootStore(config(), machine())).toBeUndefined();
  const after = await bootStoreFile(config(), machine());
  expect(after).toBeDefined();
  expect(after).not.toBe(before);
});

it("there is none for a machine that starts from its disk, or of files that are not there, or where it is switched off", async () => {
  for (const [settings, spec] of [
    [undefined, {}],
    [undefined, { kernel: join(home, "missing") }],
    [false, { kernel }],
  ] as const)
    expect(await bootStoreFile(config(settings), machine(spec))).toBeUndefined();
  expect(readdirSync(home)).toEqual(["vmlinux"]);
});

it("there is none of files that hold nothing, and a migration goes on", async () => {
  writeFileSync(kernel, new Uint8Array(5000));
  expect(await bootStoreFile(config(), machine())).toBeUndefined();
});

it("a folder that others may look into is not used", async () => {
  const dir = join(home, "open");
  mkdirSync(dir);
  chmodSync(dir, 0o755);
  expect(await bootStoreFile(config({ dir }), machine())).toBeUndefined();
  expect(readdirSync(dir)).toEqual([]);
});

it("those used last stay, and what a killed one began goes", async () => {
  const dir = join(home, "boot");
  mkdirSync(dir, { mode: 0o700 });
  const put = (name: string, minutes: number): void => {
    writeFileSync(join(dir, name), name);
    utimesSync(join(dir, name), Date.now() / 1000 - minutes * 60, Date.now() / 1000 - minutes * 60);
  };
  for (const [minutes, name] of ["c", "d", "e", "f"].entries()) put(`${name}.store`, minutes + 2);
  put("c.store.77.new", 5);
  const file = await bootStoreFile(config({ count: 3 }), machine());
  expect(readdirSync(dir).toSorted()).toEqual(
    ["c.store", "d.store", (file ?? "").split("/").at(-1) ?? ""].toSorted(),
  );
});
