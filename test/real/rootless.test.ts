/** The lab as somebody who is not root has it: hosts on loopback, a guest that moves, and a report that says what is missing. */
import { execFile } from "node:child_process";
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";

import type { Report } from "../../src/api/report.ts";
import { ensureGuest } from "../../src/lab/guest/image.ts";
import { cacheDir } from "../../src/lab/guest/packages.ts";
import { ensurePrograms } from "../../src/lab/guest/programs.ts";
import { ROOT } from "../sources.ts";
import { isRoot } from "./arena.ts";
import { processesOf } from "./left-behind.ts";

const STEP_TIMEOUT_MS = 120_000;
const run = promisify(execFile);
const godwit = join(ROOT, "bin/godwit");
/** Root becomes nobody. */
const nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
const as = (...words: readonly string[]): readonly string[] => (isRoot ? [...nobody, ...words] : words);

const [first = "", ...more] = as(godwit, "--version");
const reachable = await run(first, more).then(
  () => true,
  () => false,
);
if (!reachable) console.warn(`rootless.test.ts is skipped: only root may read ${ROOT}.`);

describe.runIf(reachable)("without root", () => {
  let home: string;
  beforeAll(async () => {
    home = mkdtempSync(join(tmpdir(), "gw-nobody-"));
    chmodSync(home, 0o777);
    await ensureGuest();
    await ensurePrograms();
    const cache = join(home, "cache/godwit");
    mkdirSync(cache, { recursive: true });
    const filter = (path: string): boolean => !/making-|compiled/.test(path);
    cpSync(cacheDir(), cache, { recursive: true, verbatimSymlinks: true, filter });
    if (isRoot) await run("chown", ["-R", "65534:65534", home]);
  });
  afterEach(async () => {
    await cli("lab", "down");
  });
  afterAll(() => rmSync(home, { recursive: true, force: true }));

  async function cli(...words: readonly string[]): Promise<string> {
    const [program = "", ...args] = as(godwit, ...words);
    const env = {
      PATH: process.env["PATH"],
      HOME: home,
      XDG_CACHE_HOME: join(home, "cache"),
      GODWIT_LAB_HOME: join(home, "labs"),
    };
    return (await run(program, args, { env, timeout: STEP_TIMEOUT_MS })).stdout;
  }

  it("a guest moves there and back; the link is said not to be shaped", { timeout: 300_000 }, async () => {
    const up = JSON.parse(await cli("lab", "up", "--link", "100Mbit/s", "-o", "json")) as object;
    expect(up).toMatchObject({ rootless: true, link: { shaped: false } });
    await cli("lab", "run", "t1", "--workload", "redis", "--memory", "128MiB");
    for (const [host, target] of [
      ["a", "b"],
      ["b", "a"],
    ] as const) {
      const report = JSON.parse(
        await cli("migrate", "t1", "--host", host, "--to", target, "-o", "json"),
      ) as Report;
      expect(report).toMatchObject({ source: host, target, outcome: "done" });
      expect(report.environment.link).toMatchObject({ shaped: false });
      // Loopback carries everybody's bytes, and nobody hears the guest's beacon.
      expect(report.metrics.bytes.wire_out).toBeNull();
      expect(report.metrics.downtime_ms.guest).toBeNull();
      expect(report.metrics.downtime_ms.vm).toBeGreaterThan(0);
      expect(report.metrics.downtime_ms.client).toBeGreaterThan(0);
      expect(report.correctness).toMatchObject({ verdict: "verified", lost_acknowledged_writes: 0 });
      expect(await cli("report", report.id, "--host", host)).toContain("not shaped");
    }
    await cli("lab", "down");
    expect(processesOf(home)).toEqual([]);
    expect(existsSync(join(home, "labs/default"))).toBe(false);
    expect(await cli("lab", "down")).toContain("nothing to remove");
  });
});
