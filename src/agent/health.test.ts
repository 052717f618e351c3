import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";

import { readCertificates } from "./certificates.ts";
import { EXPIRY_NEAR_MS, type HealthFacts, readiness } from "./health.ts";
import { initCa, issueHost } from "./pki.ts";

const nowMs = Date.parse("2026-01-01T00:00:00Z");
const server = {
  name: "server",
  file: "/pki/server-cert.pem",
  validFromMs: nowMs - 1,
  expiresAtMs: nowMs + EXPIRY_NEAR_MS,
  problem: "",
} as const;
const well: HealthFacts = {
  nowMs,
  storeProblem: null,
  stateDir: "/var/lib/godwit",
  qemu: { version: "7.2.0" },
  certificates: [server],
  listeners: [{ name: "peers", up: true }],
};
const failing = (facts: Partial<HealthFacts>): unknown[] =>
  readiness({ ...well, ...facts }).checks.filter((check) => !check.ok);

test("all well is ready", () => {
  expect(readiness(well)).toEqual({
    ready: true,
    checks: [
      { name: "store", what: "/var/lib/godwit", ok: true },
      { name: "qemu", what: "QEMU 7.2.0", ok: true },
      { name: "certificate-server", what: "/pki/server-cert.pem, valid until 2026-01-08", ok: true },
      { name: "listener-peers", what: "peers", ok: true },
    ],
  });
});

test.each<[string, Partial<HealthFacts>, object]>([
  [
    "a full disk",
    { storeProblem: "database or disk is full" },
    { name: "store", why: "database or disk is full" },
  ],
  ["no QEMU", { qemu: { problem: "not found", next: "install it" } }, { name: "qemu", next: "install it" }],
  ["a dead listener", { listeners: [{ name: "peers", up: false }] }, { name: "listener-peers" }],
  [
    "an end that is near",
    { certificates: [{ ...server, expiresAtMs: nowMs + EXPIRY_NEAR_MS - 1 }] },
    { why: "it expires in 6 days" },
  ],
  ["an end that has come", { certificates: [{ ...server, expiresAtMs: nowMs }] }, { why: "it has expired" }],
  [
    "a certificate of tomorrow",
    { certificates: [{ ...server, validFromMs: nowMs + 1 }] },
    { why: "it is valid only from 2026-01-01" },
  ],
  ["another's certificate", { certificates: [{ ...server, problem: "not ours" }] }, { why: "not ours" }],
])("%s makes it not ready, says why and what to do", (_what, facts, expected) => {
  expect(failing(facts)).toEqual([
    {
      name: expect.any(String),
      what: expect.any(String),
      ok: false,
      why: expect.any(String),
      next: expect.stringMatching(/./),
      ...expected,
    },
  ]);
  expect(readiness({ ...well, ...facts }).ready).toBe(false);
});

let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "gw-health-"));
  for (const ca of ["ca", "ca2"]) await initCa(join(folder, ca));
  const issue = (caDir: string, name: string, outDir: string): Promise<void> =>
    issueHost({ caDir: join(folder, caDir), name, addresses: [], outDir: join(folder, outDir) });
  await issue("ca", "a", "a");
  await issue("ca2", "a", "strange");
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const problems = (dir: string, host = "a"): string[] =>
  readCertificates(join(folder, dir), host).map((one) => one.problem);

test("certificates just issued are in order, and last for years", () => {
  expect(problems("a")).toEqual(["", "", ""]);
  const ends = readCertificates(join(folder, "a"), "a").map((one) => one.expiresAtMs ?? 0);
  expect(Math.min(...ends)).toBeGreaterThan(Date.now() + 365 * 24 * 3600e3);
});

test("another host's, another CA's, or a missing certificate is seen", () => {
  expect(problems("a", "b")).toEqual([
    "",
    expect.stringContaining("not this host's"),
    expect.stringContaining("not this host's"),
  ]);
  copyFileSync(join(folder, "a", "ca-cert.pem"), join(folder, "strange", "ca-cert.pem"));
  expect(problems("strange")).toEqual([
    "",
    expect.stringContaining("did not issue"),
    expect.stringContaining("did not issue"),
  ]);
  expect(problems("nowhere").every((problem) => problem.includes("ENOENT"))).toBe(true);
});
