/** QEMU's own ways to carry a stream, by our flags and by virsh's. */
import { expect, test } from "vitest";

import { CodedError } from "../std/errors.ts";
import { requestFromFlags, type MigrateFlags } from "./migrate-flags.ts";

const MIB = 2 ** 20;
const native = (flags: MigrateFlags) => requestFromFlags({ to: "b", ...flags }).native;
const refusal = (flags: MigrateFlags): CodedError => {
  try {
    requestFromFlags({ to: "b", ...flags });
  } catch (error) {
    if (error instanceof CodedError) return error;
  }
  throw new Error("it was not refused");
};

test("the way is auto unless one is named", () => {
  expect(requestFromFlags({ to: "b" })).toMatchObject({ wire: "auto" });
  expect(requestFromFlags({ to: "b", wire: "relay" })).toMatchObject({ wire: "relay" });
  expect(native({ wire: "direct" })).toBeUndefined();
  expect(refusal({ wire: "carrier-pigeon" }).code).toBe("USAGE");
});

test.each<[MigrateFlags, Record<string, unknown>]>([
  [{ multifdChannels: "4" }, { channels: 4, compression: "none" }],
  [
    { multifdChannels: "4", compression: "zstd:3" },
    { channels: 4, compression: "zstd", level: 3 },
  ],
  [
    { multifdChannels: "2", compression: "zlib" },
    { compression: "zlib", level: 1 },
  ],
  [{ xbzrleCache: "128MiB" }, { channels: 0, xbzrleCacheBytes: 128 * MIB }],
  // virsh's
  [{ parallel: true }, { channels: 2 }],
  [{ parallel: true, parallelConnections: "8" }, { channels: 8 }],
  [
    { parallel: true, compMethods: "zstd", compZstdLevel: "5" },
    { channels: 2, compression: "zstd", level: 5 },
  ],
  [{ compressed: true }, { xbzrleCacheBytes: 64 * MIB }],
  [{ compMethods: "xbzrle", compXbzrleCache: "32MiB" }, { xbzrleCacheBytes: 32 * MIB }],
])("%o is %o", (flags, wanted) => {
  expect(native(flags)).toMatchObject(wanted);
});

test.each<[MigrateFlags, string, string]>([
  [{ wire: "relay", multifdChannels: "2" }, "--wire relay", "--multifd-channels"],
  [{ wire: "relay", compressed: true }, "--wire relay", "--compressed"],
  [{ multifdChannels: "2", parallelConnections: "3" }, "--multifd-channels", "--parallel-connections"],
  [{ compression: "zstd", compMethods: "zlib" }, "--compression", "--comp-methods"],
  [{ xbzrleCache: "1MiB", compXbzrleCache: "2MiB" }, "--xbzrle-cache", "--comp-xbzrle-cache"],
  [{ compZlibLevel: "1", compZstdLevel: "2" }, "--comp-zlib-level", "--comp-zstd-level"],
])("%o is refused, naming %s and %s", (flags, one, other) => {
  const refused = refusal(flags);
  expect(refused.code).toBe("USAGE");
  expect(refused.message).toContain(one);
  expect(refused.message).toContain(other);
});

test.each<[MigrateFlags, string]>([
  [{ compression: "lz4" }, "USAGE"],
  [{ compression: "zstd:high" }, "USAGE"],
  [{ compMethods: "mt" }, "USAGE"],
  [{ multifdChannels: "many" }, "USAGE"],
  [{ multifdChannels: "99" }, "REQUEST_INVALID"],
  [{ xbzrleCache: "64" }, "UNIT_MISSING"],
])("%o is refused with %s", (flags, code) => {
  expect(refusal(flags).code).toBe(code);
});
