import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { faultPoint } from "./fault.ts";

describe("a fault point", () => {
  let folder: string;
  let file: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "gw-fault-"));
    file = join(folder, "faults.json");
    process.env["GODWIT_FAULTS"] = file;
  });
  afterEach(() => {
    delete process.env["GODWIT_FAULTS"];
    rmSync(folder, { recursive: true, force: true });
  });

  test("kills whom the demand names, at the named step only, and once", async () => {
    const victim = spawn("sleep", ["60"]);
    const ended = new Promise((done) => victim.once("exit", (_code, signal) => done(signal)));
    writeFileSync(file, JSON.stringify([{ at: "source:copying", kill: [victim.pid] }]));
    faultPoint("source:preparing");
    expect(existsSync(`${file}.0`)).toBe(false);
    faultPoint("source:copying");
    expect(await ended).toBe("SIGKILL");
    expect(JSON.parse(readFileSync(`${file}.0`, "utf8"))).toEqual([victim.pid]);
    expect(() => faultPoint("source:copying")).not.toThrow();
  });

  test("finds QEMUs by the handles in their folders", async () => {
    const victim = spawn("sleep", ["60"]);
    const ended = new Promise((done) => victim.once("exit", (_code, signal) => done(signal)));
    mkdirSync(join(folder, "vms", "one"), { recursive: true });
    mkdirSync(join(folder, "vms", "without"), { recursive: true });
    writeFileSync(join(folder, "vms", "one", "qemu.json"), JSON.stringify({ pid: victim.pid }));
    writeFileSync(file, JSON.stringify([{ at: "target:loaded", killQemusIn: [join(folder, "vms")] }]));
    faultPoint("target:loaded");
    expect(await ended).toBe("SIGKILL");
  });

  test("does nothing without a demand, without a file and with a file half written", () => {
    faultPoint("source:done");
    writeFileSync(file, '[{ "at": "sour');
    faultPoint("source:done");
    delete process.env["GODWIT_FAULTS"];
    faultPoint("source:done");
    expect(existsSync(`${file}.0`)).toBe(false);
  });
});
