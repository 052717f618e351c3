import { expect, test } from "vitest";

import { encodeRecords } from "./encode.ts";
import { packageParts } from "./package.ts";
import type { StreamRecord } from "./records.ts";

const LISTEN: StreamRecord = { kind: "command", command: { kind: "postcopy-listen" } };
const RUN: StreamRecord = { kind: "command", command: { kind: "postcopy-run" } };
const PING: StreamRecord = { kind: "command", command: { kind: "ping", value: 3 } };
const devices: StreamRecord = { kind: "opaque", bytes: new Uint8Array([4, 8, 0, 2, 9]) };

test("device state lies between LISTEN and PING", () => {
  expect(packageParts(encodeRecords([LISTEN, devices, PING, RUN]))).toEqual({ from: 5, to: 10, ping: 3 });
});

test("a package may have no PING", () => {
  expect(packageParts(encodeRecords([LISTEN, devices, RUN]))).toEqual({ from: 5, to: 10 });
});

test.each([
  ["nothing", [], "LISTEN"],
  ["no LISTEN", [devices, RUN], "LISTEN"],
  ["no RUN", [LISTEN, devices], "RUN"],
  ["RUN alone", [RUN], "LISTEN"],
])("a package with %s is refused", (_what, records, words) => {
  expect(() => packageParts(encodeRecords(records))).toThrow(words);
});
