import * as fc from "fast-check";
import { expect, test } from "vitest";

import { readCpio as readArchive, type CpioListing } from "../../boot/cpio.ts";
import { writeCpio } from "./cpio.ts";
import type { CpioEntry } from "./cpio.ts";

const readCpio = (bytes: Uint8Array): readonly CpioListing[] => readArchive(bytes).listing;

const path = fc.stringMatching(/^[a-zäß0-9._-]{1,40}$/);
const entry = fc.oneof(
  fc.record({
    kind: fc.constant("file" as const),
    path,
    data: fc.uint8Array({ maxLength: 300 }),
    mode: fc.constantFrom(0o644, 0o755),
  }),
  fc.record({ kind: fc.constant("directory" as const), path }),
  fc.record({ kind: fc.constant("link" as const), path, target: path }),
);
const dataOf = (one: CpioEntry): Uint8Array =>
  one.kind === "file" ? one.data : Buffer.from(one.kind === "link" ? one.target : "");

test("what was written is read back, whatever the lengths of names and contents", () => {
  fc.assert(
    fc.property(fc.array(entry), (entries) => {
      const read = readCpio(writeCpio(entries));
      expect(read.map(({ path: name, data }) => [name, Buffer.from(data).toString("hex")])).toEqual(
        entries.map((one) => [one.path, Buffer.from(dataOf(one)).toString("hex")]),
      );
    }),
  );
});

test("every header and every content begins at a multiple of four, as the kernel expects", () => {
  fc.assert(fc.property(fc.array(entry), (entries) => writeCpio(entries).length % 4 === 0));
});

test("types and permissions are those of st_mode", () => {
  const modes = readCpio(
    writeCpio([
      { kind: "directory", path: "dev" },
      { kind: "device", path: "dev/console", major: 5, minor: 1 },
      { kind: "file", path: "init", data: new Uint8Array(1), mode: 0o755 },
      { kind: "link", path: "sh", target: "busybox" },
    ]),
  ).map(({ mode }) => mode.toString(8));
  expect(modes).toEqual(["40755", "20600", "100755", "120777"]);
});

test("an archive cut off anywhere is refused", () => {
  const whole = writeCpio([{ kind: "file", path: "a", data: new Uint8Array(9) }]);
  // The last NUL and three bytes of padding carry nothing.
  for (let length = 0; length < whole.length - 4; length += 1) {
    expect(() => readCpio(whole.subarray(0, length))).toThrow(RangeError);
  }
});
