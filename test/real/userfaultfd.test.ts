/** A target whose kernel gives QEMU no userfaultfd: post-copy is refused before anything begins, and pre-copy works. */
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { migrateRequest } from "../../src/api/migration.ts";
import { ensureTicker, tickerMachine } from "../../src/lab/guest/ticker.ts";
import { type AgentHere, type AgentsHere, agentsHere } from "../agents-here.ts";
import { isRoot, until } from "./arena.ts";

const DEADLINE_MS = 60_000;
const SYSCTL = "/proc/sys/vm/unprivileged_userfaultfd";
const takenFromAll = readFileSync(SYSCTL, "utf8").trim() === "0";
if (!takenFromAll) console.warn(`userfaultfd.test.ts is skipped: ${SYSCTL} lets everybody have it.`);

describe.runIf(takenFromAll)("without userfaultfd", () => {
  let folder: string;
  let here: AgentsHere;
  let a: AgentHere;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "gw-uffd-"));
    const qemu = join(folder, "qemu");
    // Root without this capability is one of all the others.
    const drop = isRoot ? "setpriv --bounding-set=-sys_ptrace --inh-caps=-sys_ptrace" : "";
    writeFileSync(qemu, `#!/bin/sh\nexec ${drop} qemu-system-x86_64 "$@"\n`);
    chmodSync(qemu, 0o755);
    here = await agentsHere(["a", "b"], { config: { qemu } });
    const [first] = here.agents;
    if (first === undefined) throw new Error("no agent");
    a = first;
    await a.client.run({ body: tickerMachine("t1", await ensureTicker()), timeoutMs: DEADLINE_MS });
  });
  afterAll(async () => {
    for (const { client } of here?.agents ?? [])
      for (const { name } of await client.vms({ query: { scope: "host" } }))
        await client.stop({ params: { name } });
    await here?.[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  const all = () => a.client.vms({ query: { scope: "all" } });

  it.each([
    ["post-copy", {}],
    ["hybrid", {}],
    ["pre-copy", { policy: { last: [{ do: "post-copy" }] } }],
  ] as const)("%s with %o is refused, and nothing has changed", async (technique, more) => {
    const before = await all();
    const body = migrateRequest.parse({ target: "b", technique, ...more });
    const { findings } = await a.client.check({ params: { name: "t1" }, body });
    const [finding] = findings.filter((each) => each.severity === "blocker");
    expect(finding).toMatchObject({ code: "POSTCOPY_UNAVAILABLE", next: expect.stringContaining("sysctl") });
    await expect(a.client.migrate({ params: { name: "t1" }, body })).rejects.toMatchObject({
      code: "CHECK_FAILED",
    });
    expect(await all()).toEqual(before);
  });

  it("pre-copy goes there", { timeout: DEADLINE_MS }, async () => {
    const body = migrateRequest.parse({ target: "b" });
    const { id } = await a.client.migrate({ params: { name: "t1" }, body });
    const outcome = await until("its end", DEADLINE_MS, async () => {
      const view = await a.client.migration({ params: { id } });
      return view.outcome === undefined ? undefined : `${view.outcome} ${view.reason}`;
    });
    expect(outcome).toMatch(/^done/);
  });
});
