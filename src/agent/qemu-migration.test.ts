import { describe, expect, it } from "vitest";

import { migrateSettings, type TechniqueName } from "../api/migration.ts";
import type { Qmp } from "../qmp/types.ts";
import { startCopy } from "./qemu-migration.ts";

/** Takes every command, and remembers the parameters a copy begins with. */
async function parametersOf(technique: TechniqueName, bandwidthBytesPerSecond?: number) {
  const asked: Record<string, unknown> = {};
  const qmp = {
    execute: async (command: string, args: Record<string, unknown>) => {
      if (command === "migrate-set-parameters") Object.assign(asked, args);
      return [];
    },
  } as unknown as Qmp;
  await startCopy(qmp, {
    settings: migrateSettings.parse({ technique, bandwidthBytesPerSecond }),
    tlsDir: "/nonexistent",
    target: "b",
    address: "192.0.2.2",
    port: 49_152,
    downtimeLimitMs: 250,
  });
  return asked;
}

const MIB = 2 ** 20;

describe("a copy begins", () => {
  it("with the bandwidth asked for; none asked means no limit", async () => {
    for (const technique of ["pre-copy", "hybrid", "stop-and-copy"] as const) {
      expect(await parametersOf(technique, 9 * MIB)).toMatchObject({ "max-bandwidth": 9 * MIB });
      expect(await parametersOf(technique)).toMatchObject({ "max-bandwidth": 0 });
    }
  });

  it("slowly when it is to be fetched at once, so that the device state finds the link empty", async () => {
    const parameters = await parametersOf("post-copy", 9 * MIB);
    expect(parameters["max-bandwidth"]).toBeGreaterThan(0);
    expect(parameters["max-bandwidth"]).toBeLessThanOrEqual(MIB);
    expect(parameters["max-postcopy-bandwidth"]).toBeLessThanOrEqual(MIB);
  });

  it("never faster than asked", async () => {
    expect(await parametersOf("post-copy", 100_000)).toMatchObject({ "max-bandwidth": 100_000 });
  });
});
