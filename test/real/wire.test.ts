/**
 * The relays carry migrations of real agents: memory arrives exactly, a cap is a cap, a cancel ends at the source, and
 * whatever dies, the guest runs on one host and nothing is left behind.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import type { MigrateRequest, MigrationView, TechniqueName } from "../../src/api/migration.ts";
import type { Report } from "../../src/api/report.ts";
import { forgetKept } from "../../src/lab/kept-stores.ts";
import { Arena, explainSkip, type Host, HOSTS, isRoot, until } from "./arena.ts";
import { OneOwnerWatch } from "./one-owner-watch.ts";

explainSkip("wire.test.ts");

type Settings = Omit<Partial<MigrateRequest>, "technique"> & { readonly technique: TechniqueName };
const DEADLINE_MS = 30_000;
/** Holds a copy open: the ticker's 2 MiB, which hardly shrink, take seconds. */
const SLOW_BYTES_PER_SECOND = 200_000;

const through = (
  technique: TechniqueName,
  more: Omit<Partial<MigrateRequest>, "technique"> = {},
): Settings => ({
  technique,
  wire: "relay",
  ...more,
});
const slowly = { bandwidthBytesPerSecond: SLOW_BYTES_PER_SECOND };

interface RelaySeen {
  readonly host: Host;
  readonly pid: number;
}

describe.runIf(isRoot)("through the relays", () => {
  let arena: Arena;
  beforeAll(async () => {
    arena = await Arena.up();
  });
  afterAll(async () => {
    await arena?.down();
  });

  function relays(): RelaySeen[] {
    return HOSTS.flatMap((host) => {
      const folder = join(arena.stateDir(host), "relays");
      return folders(folder).flatMap((name) => {
        try {
          const text = readFileSync(join(folder, name, "relay-handle.json"), "utf8");
          const { pid } = JSON.parse(text) as { pid: number };
          return isThere(pid) ? [{ host, pid }] : [];
        } catch {
          return [];
        }
      });
    });
  }

  async function scene(
    settings: Settings,
    act: (scene: { name: string; id: string; watch: OneOwnerWatch }) => Promise<void>,
  ): Promise<void> {
    // Its guests are all alike: what one left would leave the next one hardly a byte to be slow with.
    await forgetKept(arena.lab);
    const name = await arena.guest("a");
    const watch = new OneOwnerWatch(arena, name);
    try {
      const { id } = await arena.migrate(name, "a", settings);
      await act({ name, id, watch });
      await until("no relay to be left", DEADLINE_MS, () =>
        HOSTS.every((host) => folders(join(arena.stateDir(host), "relays")).length === 0) ? true : undefined,
      );
    } finally {
      arena.disarm();
      await arena.wake(name);
      await arena.startDeadAgents();
      await watch.stop();
      await arena.killQemus(name);
      for (const host of HOSTS) await arena.client(host).cleanup();
    }
    expect(watch.fault).toBe("");
  }

  const report = (id: string): Promise<Report> => arena.client("a").report({ params: { id } });
  const pages = (document: Report): number =>
    Object.values(document.pages).reduce<number>((sum, count) => sum + (count ?? 0), 0);

  async function doneAt(id: string, name: string, host: Host): Promise<MigrationView> {
    const { source } = await arena.settled(id, "a", 60_000);
    expect(source, source.reason).toMatchObject({ outcome: host === "b" ? "done" : expect.anything() });
    expect(await arena.ticking(name)).toEqual([host]);
    return source;
  }

  it.each(["pre-copy", "stop-and-copy"] as const)("%s brings the memory over exactly", async (technique) => {
    await scene(through(technique, { verifyMemory: true }), async ({ id, name }) => {
      const view = await doneAt(id, name, "b");
      expect(view).toMatchObject({ path: "relay", pathReason: expect.stringContaining("asked for") });
      const document = await report(id);
      expect(document).toMatchObject({ path: "relay", correctness: { verdict: "verified" } });
      expect(pages(document)).toBeGreaterThan(8000);
      expect(document.cpu_seconds.relay_source).toBeGreaterThan(0);
      expect(document.cpu_seconds.relay_target).toBeGreaterThan(0);
      expect(document.notes.join()).not.toContain("apart");
    });
  });

  it.each(["post-copy", "hybrid"] as const)(
    "%s runs at the target and finds its memory",
    async (technique) => {
      // With a longer pause or a faster way what is dirty after a round would fit, and QEMU would be through before it
      // could be switched.
      const settings = through(technique, { maxDowntimeMs: 1, ...slowly });
      await scene(settings, async ({ id, name, watch }) => {
        await doneAt(id, name, "b");
        watch.look();
        expect((await report(id)).finished_by).toBe(technique === "hybrid" ? "hybrid" : technique);
        await whole(name, "b", watch);
      });
    },
  );

  /** Every byte of it moves back and is compared. */
  async function whole(name: string, host: Host, watch: OneOwnerWatch): Promise<void> {
    await watch.stop();
    const again = await arena.migrate(name, host, {
      technique: "pre-copy",
      verifyMemory: true,
    });
    expect((await arena.settled(again.id, host)).source).toMatchObject({ outcome: "done" });
    const document = await arena.client(host).report({ params: { id: again.id } });
    expect(document.correctness.verdict).toBe("verified");
  }

  it("shows while it runs what the relays make of the stream, and keeps the cap", async () => {
    await scene(through("pre-copy", slowly), async ({ id, name }) => {
      const seen = await until("counters", DEADLINE_MS, async () => {
        const wire = (await arena.view("a", id))?.progress?.wire;
        return wire !== undefined && wire.wireBytes > 100_000 ? wire : undefined;
      });
      expect(seen.qemuBytes).toBeGreaterThan(seen.wireBytes);
      expect(seen.passThrough).toBeUndefined();
      await doneAt(id, name, "b");
      const { metrics } = await report(id);
      const rate = ((metrics.bytes.wire_out ?? 0) / (metrics.total_time_ms ?? 1)) * 1000;
      expect(rate).toBeLessThan(1.3 * SLOW_BYTES_PER_SECOND);
    });
  });

  it("a cancel ends at the source within two seconds", async () => {
    await scene(through("pre-copy", slowly), async ({ id, name }) => {
      await arena.waitPhase(id, "copying");
      const t0 = performance.now();
      await arena.client("a").cancel({ params: { id } });
      await until("the guest to run", DEADLINE_MS, async () => {
        const vm = (await arena.vms("a")).find((one) => one.name === name);
        return vm?.state === "running" && vm.migration === null ? true : undefined;
      });
      console.log(`cancelled after ${Math.round(performance.now() - t0)} ms`);
      const { source, target } = await arena.settled(id);
      expect(source).toMatchObject({ outcome: "cancelled", path: "relay" });
      expect(target?.phase).toBe("aborted");
      expect(await arena.ticking(name)).toEqual(["a"]);
    });
  });

  it.each(HOSTS)(
    "the relay of host %s killed while copying: the guest runs on at the source",
    async (host) => {
      await scene(through("pre-copy", slowly), async ({ id, name }) => {
        await copyingFor(id);
        kill(relays(), host);
        const { source } = await arena.settled(id);
        expect(source, source.reason).toMatchObject({ outcome: "failed" });
        expect(await arena.ticking(name)).toEqual(["a"]);
      });
    },
  );

  it.each(HOSTS)("the relay of host %s killed while fetching: it continues by itself", async (host) => {
    await scene(through("post-copy", slowly), async ({ id, name, watch }) => {
      await arena.waitPhase(id, "fetching");
      kill(relays(), host);
      await arena.waitPhase(id, "fetch-paused");
      await arena.waitPhase(id, "fetching");
      await doneAt(id, name, "b");
      await whole(name, "b", watch);
    });
  });

  it.each(HOSTS)("the agent of host %s killed while copying: its relay goes on", async (host) => {
    // A paused guest writes nothing: at this rate its pages take ten seconds and no more.
    const settings = through("stop-and-copy", { bandwidthBytesPerSecond: 15_000 });
    await scene(settings, async ({ id, name }) => {
      await copyingFor(id);
      const before = relays();
      await arena.killAgent(host);
      await arena.startDeadAgents();
      expect(relays()).toEqual(before);
      await doneAt(id, name, "b");
      const document = await report(id);
      expect(pages(document)).toBeGreaterThan(0);
    });
  });

  it("both agents killed while fetching: it continues, and ends with all memory", async () => {
    await scene(through("post-copy", slowly), async ({ id, name, watch }) => {
      await arena.waitPhase(id, "fetching");
      for (const host of HOSTS) await arena.killAgent(host);
      await arena.startDeadAgents();
      await doneAt(id, name, "b");
      await whole(name, "b", watch);
    });
  });

  it("a link cut while fetching: it continues when the link is back", { timeout: 120_000 }, async () => {
    await scene(through("post-copy", slowly), async ({ id, name, watch }) => {
      await arena.waitPhase(id, "fetching");
      await arena.link("down");
      await arena.waitPhase(id, "fetch-paused");
      await arena.link("up");
      await doneAt(id, name, "b");
      await whole(name, "b", watch);
    });
  });

  async function copyingFor(id: string): Promise<void> {
    await until("bytes on the wire", DEADLINE_MS, async () => {
      const wire = (await arena.view("a", id))?.progress?.wire;
      return wire !== undefined && wire.wireBytes > 20_000 ? true : undefined;
    });
  }
});

function kill(all: readonly RelaySeen[], host: Host): void {
  const relay = all.find((each) => each.host === host);
  if (relay === undefined) throw new Error(`no relay runs on ${host}`);
  process.kill(relay.pid, "SIGKILL");
}

function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

function folders(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

describe.runIf(isRoot)("auto", () => {
  const LINK_BYTES_PER_SECOND = 1_000_000;
  let slow: Arena;
  beforeAll(async () => {
    slow = await Arena.up({ linkBytesPerSecond: LINK_BYTES_PER_SECOND });
  });
  afterAll(async () => {
    await slow?.down();
  });

  async function moved(settings: Partial<MigrateRequest>): Promise<Report> {
    const name = await slow.guest("a");
    try {
      const { id } = await slow.migrate(name, "a", {
        technique: "stop-and-copy",
        verifyMemory: true,
        ...settings,
      });
      const { source } = await slow.settled(id, "a", 60_000);
      expect(source, source.reason).toMatchObject({ outcome: "done" });
      const document = await slow.client("a").report({ params: { id } });
      expect(document.correctness.verdict).toBe("verified");
      console.log(document.path_reason);
      return document;
    } finally {
      await slow.killQemus(name);
      for (const host of HOSTS) await slow.client(host).cleanup();
    }
  }

  it("takes the relays on a slow link, by numbers that are near the truth, and sends less", async () => {
    // More than the link carries; but under a cap multifd gains nothing, and without it this guest, a few pages over and
    // over, is across before relays have started.
    const bandwidthBytesPerSecond = 4 * LINK_BYTES_PER_SECOND;
    const [relayed, plain] = [
      await moved({ wire: "auto", bandwidthBytesPerSecond }),
      await moved({
        wire: "direct",
        bandwidthBytesPerSecond,
        native: { channels: 0, compression: "none", level: 1, xbzrleCacheBytes: 0 },
      }),
    ];
    expect(relayed).toMatchObject({ path: "relay", path_reason: expect.stringContaining("sampled shrink") });
    const rate = /carries about ([\d.]+) (KiB|MiB)\/s/.exec(relayed.path_reason ?? "");
    const seen = Number(rate?.[1]) * (rate?.[2] === "MiB" ? 2 ** 20 : 2 ** 10);
    expect(seen).toBeGreaterThan(LINK_BYTES_PER_SECOND / 2);
    expect(seen).toBeLessThan(LINK_BYTES_PER_SECOND * 2);
    expect(relayed.metrics.bytes.wire_out).toBeLessThan((plain.metrics.bytes.wire_out ?? 0) / 2);
  });

  const says = ({ timeline }: Report, words: RegExp): boolean =>
    timeline.some(({ what }) => words.test(what));

  it("as technique fetches a guest that changes faster than it can be copied", async () => {
    const name = await slow.guest("a");
    const watch = new OneOwnerWatch(slow, name);
    try {
      // Under a cap nothing is compressed, and this guest writes 2 MiB forty times a second. A timeout has no place in a fetch.
      const bandwidthBytesPerSecond = LINK_BYTES_PER_SECOND;
      const settings = {
        technique: "auto",
        wire: "direct",
        bandwidthBytesPerSecond,
        timeoutMs: 60_000,
      } as const;
      const { id } = await slow.migrate(name, "a", settings);
      const { source } = await slow.settled(id, "a", 60_000);
      expect(source, source.reason).toMatchObject({ outcome: "done", technique: "post-copy" });
      expect(await slow.ticking(name)).toEqual(["b"]);
      watch.look();
      const document = await slow.client("a").report({ params: { id } });
      expect(document).toMatchObject({ technique: "post-copy", finished_by: "post-copy" });
      expect(document.settings.timeoutMs).toBeUndefined();
      expect(says(document, /^Post-copy: .*of 1024 pages in .*copying .*never ends, fetching in/)).toBe(true);
    } finally {
      await watch.stop();
      await slow.killQemus(name);
      for (const host of HOSTS) await slow.client(host).cleanup();
    }
    expect(watch.fault).toBe("");
  });

  it.each<[string, Partial<MigrateRequest>, RegExp]>([
    ["through the relays", { wire: "relay" }, /^Pre-copy: relays send/],
    ["with what needs rounds", { wire: "direct", verifyMemory: true }, /^Pre-copy: what was asked for/],
  ])("as technique copies %s", async (_how, settings, words) => {
    const document = await moved({ technique: "auto", ...settings });
    expect(document.technique).toBe("pre-copy");
    expect(says(document, words)).toBe(true);
  });

  it("direct without settings takes QEMU's best for the link, and memory arrives exactly", async () => {
    const document = await moved({ wire: "direct" });
    expect(document).toMatchObject({
      path: "direct",
      path_reason: expect.stringMatching(/Multifd with \d channels, zstd/),
    });
  });

  it.each([
    { channels: 2, compression: "zlib", level: 1, xbzrleCacheBytes: 0 },
    { channels: 2, compression: "none", level: 1, xbzrleCacheBytes: 0 },
    { channels: 0, compression: "none", level: 1, xbzrleCacheBytes: 16 * 2 ** 20 },
  ] as const)("QEMU's own settings %j arrive on both sides over TLS", async (native) => {
    expect(await moved({ wire: "direct", native })).toMatchObject({ path: "direct" });
  });
});
