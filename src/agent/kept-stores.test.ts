/** Which page stores stay, and where they may lie. */
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
import { keptStoreFile, keptStoresDir } from "./kept-stores.ts";

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "kept-"));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

const config = (keptStores?: unknown) => agentConfigIn(home, { keptStores });

const unexpected = (why: string): never => {
  throw new Error(why);
};

/** Older by so many minutes than now. */
function put(dir: string, name: string, minutes: number): void {
  writeFileSync(join(dir, name), name);
  const at = Date.now() / 1000 - minutes * 60;
  utimesSync(join(dir, name), at, at);
}

it("they lie beside the socket, in a folder that is made for them and nobody else may look into", () => {
  const dir = join(home, "stores");
  expect(keptStoreFile(config(), "b", unexpected)).toBe(join(dir, "b.store"));
  expect(statSync(dir).mode & 0o777).toBe(0o700);
  expect(keptStoresDir(config({ dir: "/somewhere/else" }))).toBe("/somewhere/else");
});

it("those of the peers met last stay, room made for the next one, and what a killed relay began goes", () => {
  const dir = join(home, "stores");
  mkdirSync(dir, { mode: 0o700 });
  for (const [minutes, peer] of ["c", "d", "e", "f", "g"].entries()) put(dir, `${peer}.store`, minutes + 2);
  put(dir, "c.store.1234.new", 2);
  put(dir, "c.store.1235.new", 0);
  put(dir, "notes.txt", 900);
  keptStoreFile(config(), "b", unexpected);
  expect(readdirSync(dir).toSorted()).toEqual([
    "c.store",
    "c.store.1235.new",
    "d.store",
    "e.store",
    "notes.txt",
  ]);
  keptStoreFile(config({ count: 1 }), "e", unexpected);
  expect(readdirSync(dir).filter((name) => name.endsWith(".store"))).toEqual(["e.store"]);
});

it("nothing is kept when that is said, or where others may look, or nothing can be made", () => {
  expect(keptStoreFile(config(false), "b", unexpected)).toBeUndefined();
  const said: string[] = [];
  const dir = join(home, "open");
  mkdirSync(dir);
  chmodSync(dir, 0o755);
  expect(keptStoreFile(config({ dir }), "b", (why) => said.push(why))).toBeUndefined();
  writeFileSync(join(home, "file"), "");
  expect(
    keptStoreFile(config({ dir: join(home, "file", "x") }), "b", (why) => said.push(why)),
  ).toBeUndefined();
  expect(said).toEqual([expect.stringContaining("0700"), expect.stringContaining("ENOTDIR")]);
  // As it was: a folder that is somebody's is not changed.
  expect(statSync(dir).mode & 0o777).toBe(0o755);
});
