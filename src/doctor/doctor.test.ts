/** The examination as a whole: nothing hides anything, and what stops decides the end. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, expect, test } from "vitest";
import { stringify } from "yaml";

import { initCa, issueHost } from "../agent/pki.ts";
import { CodedError } from "../std/errors.ts";
import { certificates } from "./checks/certificates.ts";
import { configuration } from "./checks/configuration.ts";
import { peers } from "./checks/peers.ts";
import { stateDisk } from "./checks/state-disk.ts";
import { examine } from "./doctor.ts";
import { blocker, fine, warning, type Check, type Verdict } from "./types.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "godwit-doctor-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const saying = (name: string, ...verdicts: readonly Verdict[]): Check<unknown> => ({
  name,
  gather: () => undefined,
  judge: () => verdicts,
});

test("only a blocker makes the host unfit", async () => {
  const warned = await examine("/nonexistent", [saying("x", fine("x")), saying("y", warning("y", "do"))]);
  expect(warned.ok).toBe(true);
  const stopped = await examine("/nonexistent", [saying("x", fine("x"), blocker("z", "do"))]);
  expect(stopped.ok).toBe(false);
  expect(stopped.findings.map((one) => [one.check, one.what])).toEqual([
    ["x", "x"],
    ["x", "z"],
  ]);
});

test("a check that cannot look is a finding and hides no other", async () => {
  const failing: Check<unknown> = {
    name: "broken",
    gather: () => Promise.reject(new CodedError("DISK_FULL", { what: "a probe" })),
    judge: () => [],
  };
  const { findings } = await examine("/nonexistent", [failing, saying("after", fine("seen"))]);
  expect(findings.map((one) => [one.check, one.severity])).toEqual([
    ["broken", "warning"],
    ["after", "fine"],
  ]);
});

test("a host as it is set up: configured, with certificates, and a peer that is down", async () => {
  const configFile = join(folder, "agent.yaml");
  const tlsDir = join(folder, "pki");
  await initCa(join(folder, "ca"));
  await issueHost({ caDir: join(folder, "ca"), name: "a", addresses: ["127.0.0.1"], outDir: tlsDir });
  const config = {
    name: "a",
    stateDir: join(folder, "state"),
    socket: join(folder, "agent.sock"),
    listen: { address: "127.0.0.1" },
    tlsDir,
    peers: [{ name: "b", address: "127.0.0.1", port: 1 }],
  };
  writeFileSync(configFile, stringify(config));
  const { findings } = await examine(configFile, [configuration, stateDisk, certificates, peers]);
  expect(findings.map((one) => [one.check, one.severity])).toEqual([
    ["configuration", "fine"],
    ["state disk", "fine"],
    ["certificates", "fine"],
    ["peers", "warning"],
  ]);
});

test("a key that nobody knows is named, and stops", async () => {
  const configFile = join(folder, "agent.yaml");
  writeFileSync(configFile, "name: a\nstatDir: /x\n");
  const { ok, findings } = await examine(configFile, [configuration]);
  expect(ok).toBe(false);
  expect(findings[0]?.what).toContain("statDir");
});
