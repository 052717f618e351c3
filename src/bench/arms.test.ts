import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { migrateRequest } from "../api/migration.ts";
import { armNames, armsFor, limitsFor } from "./arms.ts";
import { loadNames, loadsFor } from "./loads.ts";

const rates = fc.integer({ min: 1e6, max: 1.25e9 });

describe("the arms", () => {
  it("are requests an agent takes, at any link", () => {
    fc.assert(
      fc.property(rates, (rate) => {
        for (const { settings } of armsFor(armNames, rate)) {
          expect(migrateRequest.safeParse({ target: "b", ...settings }).success).toBe(true);
        }
      }),
    );
  });

  it("that copy end: each of them has a timeout", () => {
    for (const { name, settings } of armsFor(armNames, 12_500_000)) {
      const copies = settings.technique === "pre-copy" || settings.technique === "hybrid";
      expect([name, settings.timeoutMs !== undefined]).toEqual([name, copies]);
    }
  });

  it("allow the whole written set to be sent in a pause, and the whole memory before the timeout", () => {
    fc.assert(
      fc.property(rates, (rate) => {
        const { pauseCeilingMs, timeoutMs } = limitsFor(rate);
        expect((pauseCeilingMs / 1000) * rate).toBeGreaterThan(64 * 2 ** 20);
        expect((timeoutMs / 1000) * rate).toBeGreaterThan(256 * 2 ** 20);
      }),
    );
  });

  it("and the workloads are refused by a name that does not exist, naming those that do", () => {
    expect(() => armsFor(["toString"], 1)).toThrow(/post-copy/);
    expect(() => loadsFor(["__proto__"], 1)).toThrow(/writer-near/);
  });
});

describe("the writers", () => {
  it("write below, near and above what the link moves, and nothing that compresses", () => {
    const rate = 12_500_000;
    const writers = loadsFor(loadNames, rate).filter(({ workload }) => workload === "writer");
    const shares = writers.map(({ params }) => Number.parseInt(String(params["rate"]), 10) / rate);
    expect(shares).toEqual([0.2, 0.9, 2]);
    expect(new Set(writers.map(({ params }) => params["content"]))).toEqual(new Set(["unique"]));
  });
});
