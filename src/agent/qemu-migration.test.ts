import { describe, expect, it } from "vitest";

import { migrateSettings, type TechniqueName } from "../api/migration.ts";
import type { Qmp } from "../qmp/types.ts";
import { nativeWire, type WirePlan } from "../api/wire.ts";
import { breakFetch, startCopy, tcpUri } from "./qemu-migration.ts";

/** Takes every command, and remembers the parameters a copy begins with. */
async function parametersOf(
  technique: TechniqueName,
  bandwidthBytesPerSecond?: number,
  plan: WirePlan = { path: "direct", native: nativeWire.parse({}) },
) {
  const asked: Record<string, unknown> = {};
  const qmp = {
    execute: async (command: string, args: Record<string, unknown>) => {
      if (command === "migrate-set-parameters") Object.assign(asked, args);
      if (command === "migrate-set-capabilities") {
        const { capabilities } = args as { capabilities: { capability: string; state: boolean }[] };
        for (const { capability, state } of capabilities) asked[capability] = state;
      }
      if (command === "query-migrate-capabilities")
        return ["multifd", "xbzrle", "events"].map((capability) => ({ capability, state: false }));
      return [];
    },
  } as unknown as Qmp;
  await startCopy(qmp, {
    settings: migrateSettings.parse({ technique, bandwidthBytesPerSecond }),
    plan,
    tlsDir: "/nonexistent",
    target: "b",
    uri: tcpUri("192.0.2.2", 49_152),
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
    expect(parameters["max-postcopy-bandwidth"]).toBe(9 * MIB);
  });

  it("through a relay without QEMU's own limit, TLS and settings: all three are the relay's affair", async () => {
    const relay: WirePlan = { path: "relay", encode: true, connections: 1 };
    expect(await parametersOf("hybrid", 9 * MIB, relay)).toMatchObject({
      "max-bandwidth": 0,
      "max-postcopy-bandwidth": 0,
      "tls-creds": "",
      multifd: false,
      xbzrle: false,
    });
    const fetched = await parametersOf("post-copy", undefined, relay);
    expect(fetched["max-bandwidth"]).toBeGreaterThan(0);
  });

  it("with QEMU's own settings where they were chosen, and without them where a VM came with others", async () => {
    const native = nativeWire.parse({ channels: 3, compression: "zstd", level: 4 });
    expect(await parametersOf("pre-copy", undefined, { path: "direct", native })).toMatchObject({
      multifd: true,
      "multifd-channels": 3,
      "multifd-compression": "zstd",
      "multifd-zstd-level": 4,
      xbzrle: false,
    });
    const deltas = nativeWire.parse({ xbzrleCacheBytes: 64 * MIB });
    expect(await parametersOf("pre-copy", undefined, { path: "direct", native: deltas })).toMatchObject({
      multifd: false,
      xbzrle: true,
      "xbzrle-cache-size": 64 * MIB,
    });
    expect(await parametersOf("pre-copy")).toMatchObject({ multifd: false, xbzrle: false });
  });

  it("never faster than asked", async () => {
    expect(await parametersOf("post-copy", 100_000)).toMatchObject({ "max-bandwidth": 100_000 });
  });
});

describe("breaking a fetch off", () => {
  /** A QEMU that tells these remaining bytes, one after the other, and then that it has completed. */
  async function commandsFor(...remaining: number[]): Promise<string[]> {
    const asked: string[] = [];
    const qmp = {
      execute: async (command: string) => {
        asked.push(command);
        if (command !== "query-migrate") return {};
        const left = remaining.shift();
        return left === undefined
          ? { status: "completed" }
          : { status: "postcopy-active", ram: { remaining: left } };
      },
    } as unknown as Qmp;
    await breakFetch(qmp);
    return asked.filter((command) => command !== "query-migrate");
  }

  it("slows it down first, so that what is left does not change between the look and the break", async () => {
    expect(await commandsFor(5 * MIB, 5 * MIB)).toEqual(["migrate-set-parameters", "migrate-pause"]);
  });

  it("lets the last pages go to their end: QEMU 7.2 would hang", async () => {
    expect(await commandsFor(8192, 4096)).toEqual(["migrate-set-parameters"]);
  });
});
