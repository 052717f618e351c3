/** A guest that comes back by relay sends what it changed, and arrives exactly; one that is new sends no boot files. */
import { readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";

import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";

import type { MigrateRequest } from "../../src/api/migration.ts";
import type { Report } from "../../src/api/report.ts";
import { forgetKept, keptStoresDir } from "../../src/lab/kept-stores.ts";
import { hostOf } from "../../src/lab/state.ts";
import { Arena, explainSkip, type Host, HOSTS, isRoot, until } from "./arena.ts";

explainSkip("kept-store.test.ts");

const DEADLINE_MS = 30_000;

describe.runIf(isRoot)("page stores between migrations", () => {
  let arena: Arena;
  beforeAll(async () => {
    arena = await Arena.up();
  });
  afterAll(async () => {
    await arena?.down();
  });

  const storesOf = (host: Host): string => keptStoresDir(arena.lab, hostOf(arena.lab, host));
  const relaysOf = (host: Host): readonly string[] => namesIn(join(arena.stateDir(host), "relays"));

  /** One move, and both hosts' relays have ended. */
  async function moved(name: string, from: Host, settings: Partial<MigrateRequest> = {}): Promise<Report> {
    const { id } = await arena.migrate(name, from, {
      technique: "pre-copy",
      wire: "relay",
      verifyMemory: true,
      ...settings,
    });
    const { source } = await arena.settled(id, from, 60_000);
    expect(source, source.reason).toMatchObject({ outcome: "done" });
    const document = await arena.client(from).report({ params: { id } });
    expect(document).toMatchObject({ path: "relay", correctness: { verdict: "verified" } });
    await until("both relays to end", DEADLINE_MS, () =>
      HOSTS.every((host) => relaysOf(host).length === 0) ? true : undefined,
    );
    return document;
  }

  beforeEach(() => forgetKept(arena.lab));

  const sent = ({ metrics, notes }: Report) => ({
    bytes: metrics.bytes.wire_out ?? NaN,
    ms: Math.round(metrics.total_time_ms ?? NaN),
    known: Number(/The target had (\d+) pages of earlier/.exec(notes.join("\n"))?.[1] ?? 0),
    boot: Number(/The target had (\d+) pages of the files/.exec(notes.join("\n"))?.[1] ?? 0),
  });

  it("make the way back cost what changed, whole and exact, and lie where nobody else looks", async () => {
    const name = await arena.guest("a");
    try {
      const there = sent(await moved(name, "a"));
      const back = sent(await moved(name, "b"));
      const again = sent(await moved(name, "a", { technique: "stop-and-copy" }));
      rmSync(join(storesOf("b"), "a.store"));
      const lost = sent(await moved(name, "b"));
      console.log(JSON.stringify({ there, back, again, lost }));
      expect([there.known, lost.known]).toEqual([0, 0]);
      // Of the program it was started from, which both hosts have: one page.
      for (const first of [there, lost]) expect(first.boot).toBeGreaterThan(0);
      expect([back.boot, again.boot]).toEqual([0, 0]);
      for (const later of [back, again]) {
        expect(later.known).toBeGreaterThan(500);
        expect(later.bytes).toBeLessThan(there.bytes / 4);
      }
      for (const host of HOSTS) {
        expect(statSync(storesOf(host)).mode & 0o777).toBe(0o700);
        const files = namesIn(storesOf(host));
        expect(files).toEqual([`${host === "a" ? "b" : "a"}.store`]);
        expect(statSync(join(storesOf(host), files[0] ?? "")).mode & 0o777).toBe(0o600);
      }
      expect(await arena.ticking(name)).toEqual(["a"]);
    } finally {
      await arena.killQemus(name);
      for (const host of HOSTS) await arena.client(host).cleanup();
    }
  });

  it("serve a second guest that is like the first", async () => {
    const first = await arena.guest("a");
    const second = await arena.guest("a");
    try {
      const alone = sent(await moved(first, "a"));
      const like = sent(await moved(second, "a"));
      console.log(`a sibling: ${JSON.stringify(like)}`);
      expect(like.known).toBeGreaterThan(500);
      expect(like.bytes).toBeLessThan(alone.bytes);
    } finally {
      for (const name of [first, second]) await arena.killQemus(name);
      for (const host of HOSTS) await arena.client(host).cleanup();
    }
  });
});

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
