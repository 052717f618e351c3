/** A relay that waits: whoever needs one gets it as if it had just been started, and nobody else ever hears of it. */
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { afterEach, beforeEach, expect, it, vi } from "vitest";

import { processesOf } from "../../test/real/left-behind.ts";
import { Arena, until } from "../../test/relay/hostile.ts";
import { initCa, issueHost } from "../agent/pki.ts";
import { PAGE_BYTES } from "../page/types.ts";
import { encodeReturn } from "../stream/return-path.ts";
import { STORE_SLOTS_DEFAULT } from "../wire/limits.ts";
import { corpus } from "../../test/fuzz/corpus.ts";
import { startTicksOf } from "./alive.ts";
import { makeBootStore } from "./boot-store.ts";
import { rehearse } from "./rehearsal.ts";
import { handleIn, type RelayProcess, startRelay } from "./start.ts";
import { Standby } from "./standby.ts";

const stream =
  corpus().find(({ reader, name }) => reader === "stream" && name.startsWith("pre-copy"))?.bytes ??
  new Uint8Array();

let arena: Arena;
let tlsDir: string;
let standbys: Standby[];
let relays: RelayProcess[];
beforeEach(async () => {
  arena = new Arena();
  [standbys, relays] = [[], []];
  const caDir = join(arena.dir, "ca");
  tlsDir = join(arena.dir, "tls");
  await initCa(caDir);
  await issueHost({ caDir, name: "a", addresses: ["127.0.0.1"], outDir: tlsDir });
});
afterEach(async () => {
  for (const relay of relays) await relay.kill();
  for (const standby of standbys) standby.close();
  arena.close();
});

const rehearsalIn = (name: string): string => join(arena.dir, name, "rehearsal");

/** At least once: the folder goes with each. */
async function rehearsed(name: string): Promise<void> {
  await until("it rehearses", () => existsSync(rehearsalIn(name)));
  await until("it has rehearsed", () => !existsSync(rehearsalIn(name)));
}

async function standbyIn(name: string, holds?: string): Promise<Standby> {
  const standby = new Standby({ dir: join(arena.dir, name), tlsDir, name: "a", holds: () => holds });
  standbys.push(standby);
  standby.fill(0);
  await until("one waits", () => standby.waits);
  return standby;
}

/** Both of its sides' first relay, by `standby`. */
async function migration(standbyAt: readonly [source: Standby, target: Standby], bootFile?: string) {
  const loading = await arena.qemuTarget(encodeReturn({ kind: "shut", value: 0 }));
  const storeBytes = STORE_SLOTS_DEFAULT * PAGE_BYTES;
  const guarded = { insecure: false, tlsDir, peerName: "a", codec: "auto", bootFile, storeBytes } as const;
  const target = await startRelay(arena.targetConfig(guarded), join(arena.dir, "t"), {
    standby: standbyAt[1],
  });
  relays.push(target);
  const source = await startRelay(arena.sourceConfig(target.port ?? 0, guarded), join(arena.dir, "s"), {
    standby: standbyAt[0],
  });
  relays.push(source);
  return {
    source,
    target,
    carried: async () => {
      await until("QEMU may come", () => existsSync(join(arena.dir, "out.sock")));
      arena.qemuSource().socket().end(stream);
      const last = await Promise.all([source.exited, target.exited]);
      return {
        phases: last.map((each) => each?.phase),
        bootPages: last.map((each) => each?.bootPages),
        given: loading.given(),
      };
    },
  };
}

it.each(["at once", "when it has rehearsed"])("is taken %s, and carries a migration", async (when) => {
  const [one, other] = [await standbyIn("one"), await standbyIn("other")];
  if (when !== "at once") await Promise.all([rehearsed("one"), rehearsed("other")]);
  const { source, target, carried } = await migration([one, other]);
  expect([one.waits, other.waits]).toEqual([false, false]);
  // Found again as any other.
  expect(handleIn(join(arena.dir, "s"))).toEqual(source.handle);
  const { phases, given } = await carried();
  expect(phases).toEqual(["done", "done"]);
  expect(given.length).toBeGreaterThan(stream.length / 2);
  expect(readFileSync(join(target.handle.dir, "relay.log"), "utf8")).toMatch(/^listening on port \d+\n$/);
});

it.each(["holds", "does not hold"])("%s what its migration begins with, and carries it", async (does) => {
  const kernel = join(arena.dir, "kernel");
  writeFileSync(kernel, randomBytes(64 * 4096));
  const file = join(arena.dir, "boot.store");
  expect(makeBootStore({ kernel, file })).toBe(64);
  const [one, other] = [
    await standbyIn("one", does === "holds" ? file : kernel),
    await standbyIn("other", does === "holds" ? file : undefined),
  ];
  await Promise.all([rehearsed("one"), rehearsed("other")]);
  const { carried } = await migration([one, other], file);
  const { phases, bootPages } = await carried();
  expect([phases, bootPages]).toEqual([
    ["done", "done"],
    [64, 64],
  ]);
});

/** Of the process that waits in this folder. */
const pidIn = (name: string): number => processesOf(join(arena.dir, name))[0] ?? 0;

it.each(["rehearsing", "waiting"])("ends while %s when whoever started it is gone", async (when) => {
  const standby = await standbyIn("it");
  const pid = pidIn("it");
  expect(startTicksOf(pid)).toBeGreaterThan(0);
  if (when === "waiting") await rehearsed("it");
  else await until("it rehearses", () => existsSync(rehearsalIn("it")));
  standby.close();
  await until("its process is gone", () => startTicksOf(pid) === undefined);
});

it("that died is not taken: the relay is started as if there had been none", async () => {
  const [one, other] = [await standbyIn("one"), await standbyIn("other")];
  process.kill(pidIn("one"), "SIGKILL");
  await until("it is gone", () => !one.waits);
  const { carried } = await migration([one, other]);
  expect((await carried()).phases).toEqual(["done", "done"]);
});

it("is not begun while a migration has just started without one", () => {
  vi.useFakeTimers();
  try {
    const standby = new Standby({ dir: join(arena.dir, "it"), tlsDir, name: "a" });
    standbys.push(standby);
    standby.fill(1_000);
    expect(standby.take()).toBeUndefined();
    vi.advanceTimersByTime(5_000);
    expect(standby.waits).toBe(false);
    standby.fill(1_000);
    vi.advanceTimersByTime(1_000);
    expect(standby.waits).toBe(true);
  } finally {
    vi.useRealTimers();
  }
});

it("whose rehearsal goes wrong waits all the same", async () => {
  const standby = new Standby({ dir: join(arena.dir, "odd"), tlsDir: join(arena.dir, "none"), name: "a" });
  standbys.push(standby);
  standby.fill(0);
  const log = join(arena.dir, "odd", "relay.log");
  await until("it says so", () => existsSync(log) && readFileSync(log, "utf8").includes("rehearsal failed"));
  expect(standby.waits).toBe(true);
});

it("rehearses what a migration meets: pages of every class, and a store that was kept", async () => {
  const { signal } = new AbortController();
  const said = await rehearse({ dir: join(arena.dir, "rehearsal"), tlsDir, name: "a", signal });
  for (const [kind, { pages }] of Object.entries(said?.pages ?? {})) expect(pages, kind).toBeGreaterThan(0);
  expect(said).toMatchObject({ phase: "done", mode: { kind: "encoding" } });
  expect(said?.keptPages).toBeGreaterThan(0);
});

it("rehearses with nobody but itself, and leaves nothing", async () => {
  const dir = join(arena.dir, "rehearsal");
  const { signal } = new AbortController();
  await rehearse({ dir, tlsDir, name: "a", signal });
  expect(existsSync(dir)).toBe(false);
  await expect(rehearse({ dir, tlsDir, name: "b", signal })).rejects.toMatchObject({
    code: "PEER_UNTRUSTED",
  });
  expect(existsSync(dir)).toBe(false);
  const stop = new AbortController();
  const begun = rehearse({ dir, tlsDir, name: "a", signal: stop.signal });
  await until("it has begun", () => existsSync(join(dir, "t.sock")));
  stop.abort();
  await begun.catch(() => {});
  expect(existsSync(dir)).toBe(false);
});
