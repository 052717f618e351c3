/** The store on a disk that is really full: a small tmpfs. Needs root, and starts no VM. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, expect, test } from "vitest";

import { RESERVE_BYTES } from "../../src/agent/database.ts";
import { Store } from "../../src/agent/store.ts";
import { CodedError } from "../../src/std/errors.ts";
import { machine } from "../fakes/fixtures.ts";
import { ServedAgent } from "../fakes/served-agent.ts";
import { recordOf } from "../fakes/records.ts";

let disk: string;
beforeEach(() => {
  disk = mkdtempSync(join(tmpdir(), "godwit-disk-"));
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=24m", "tmpfs", disk]);
});
afterEach(() => {
  execFileSync("umount", ["-l", disk]);
  rmSync(disk, { recursive: true });
});

const codeOf = (run: () => unknown): string => {
  try {
    run();
    return "nothing";
  } catch (error) {
    return error instanceof CodedError ? error.code : String(error);
  }
};
const free = (): number => {
  const { bavail, bsize } = statfsSync(disk);
  return bavail * bsize;
};
/** Somebody else's file takes all there is. */
function fill(name: string): void {
  while (free() > 0) writeFileSync(join(disk, name), Buffer.alloc(Math.min(free(), 2 ** 20)), { flag: "a" });
}

test("an agent on a full disk starts no VM, leaves nothing of it, ends the one it has, and heals", async () => {
  await using served = await ServedAgent.start({
    folder: disk,
    fakeQemu: true,
    store: { reserveBytes: RESERVE_BYTES },
  });
  const { client } = served;
  const named = (name: string) => ({ ...machine, metadata: { name } });
  await client.run({ body: named("first") });
  fill("other");
  const vms = readdirSync(join(disk, "vms"));
  await expect(client.run({ body: named("second") })).rejects.toMatchObject({
    code: "DISK_FULL",
    status: 507,
  });
  await expect(client.createToken({ body: { name: "x", rights: ["read"] } })).rejects.toMatchObject({
    code: "DISK_FULL",
  });
  expect(readdirSync(join(disk, "vms"))).toEqual(vms);
  expect((await client.vms()).map(({ name }) => name)).toEqual(["first"]);
  await client.stop({ params: { name: "first" } });
  rmSync(join(disk, "other"));
  expect((await client.run({ body: named("third") })).state).toBe("running");
  expect(await client.auditVerification()).toMatchObject({ ok: true });
});

test("work under way goes on from the reserve; new work is refused; nothing is lost or damaged; room heals it", () => {
  const file = join(disk, "agent.db");
  const store = new Store(file, { reserveBytes: RESERVE_BYTES });
  const { database } = store;
  store.commit(recordOf({ id: "first" }));
  database.refuseWithoutRoom();
  fill("other");
  expect(codeOf(() => database.refuseWithoutRoom())).toBe("DISK_FULL");

  // Enough for the last steps of many migrations.
  const committed = ["first"];
  for (let n = 0; n < 100; n += 1) {
    store.commit(recordOf({ id: `m-${n}` }));
    committed.push(`m-${n}`);
  }
  expect(existsSync(`${file}.reserve`)).toBe(false);
  fill("more");
  const refused = codeOf(() => {
    for (let n = 100; ; n += 1) {
      store.commit(recordOf({ id: `m-${n}` }));
      committed.push(`m-${n}`);
    }
  });
  expect(refused).toBe("DISK_FULL");
  expect(codeOf(() => database.refuseWithoutRoom())).toBe("DISK_FULL");
  // What was committed can still be read, also by an agent that starts now.
  expect(store.migrations(10_000).items.map(({ id }) => id)).toEqual(committed.toReversed());

  rmSync(join(disk, "other"));
  rmSync(join(disk, "more"));
  database.refuseWithoutRoom();
  expect(existsSync(`${file}.reserve`)).toBe(true);
  store.commit(recordOf({ id: "after" }));
  store.close();
  const db = new DatabaseSync(file);
  expect(db.prepare("PRAGMA integrity_check").get()).toEqual({ integrity_check: "ok" });
  expect(db.prepare("SELECT count(*) AS count FROM migration").get()).toEqual({
    count: committed.length + 1,
  });
  db.close();
});
