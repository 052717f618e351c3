import { expect, test } from "vitest";

import { Joiner } from "./bytes.ts";
import { splitDevices } from "./vmdesc.ts";

const device = (id: number, name: string, body: readonly number[]): Joiner =>
  new Joiner()
    .u8(4)
    .u32(id)
    .str8(name)
    .u32(0)
    .u32(1)
    .u8(...body)
    .u8(0x7e)
    .u32(id);

const tail = (description: unknown, ...devices: readonly Joiner[]): Uint8Array => {
  const out = new Joiner();
  for (const one of devices) out.raw(one.done());
  const json = typeof description === "string" ? description : JSON.stringify(description);
  return out.u8(0, 6).u32(json.length).text(json).done();
};

const timer = { name: "timer", instance_id: 0, size: 3, fields: [{ name: "data", size: 3, type: "buffer" }] };
const cpu = {
  name: "cpu",
  fields: [
    { name: "regs", size: 2, array_len: 3 },
    { name: "flag", size: 1 },
  ],
  subsections: [{ vmsd_name: "cpu/x", version: 1, fields: [{ name: "y", size: 4 }] }],
};
const CPU_BODY = Array.from({ length: 7 + 1 + 1 + 5 + 4 + 4 }, () => 0x7e);

test("fields, arrays and subsections add up to each device's length", () => {
  const bytes = tail({ devices: [timer, cpu] }, device(1, "timer", [1, 2, 3]), device(2, "cpu", CPU_BODY));
  expect(splitDevices(bytes)).toMatchObject([
    { idstr: "timer", id: 1, from: 0, bodyBytes: 3 },
    { idstr: "cpu", id: 2, bodyBytes: CPU_BODY.length },
  ]);
});

test("a tail without a description cannot be split", () => {
  expect(splitDevices(device(1, "timer", [1, 2, 3]).u8(0).done())).toBeUndefined();
  expect(splitDevices(new Uint8Array())).toBeUndefined();
});

const one = device(1, "timer", [1, 2, 3]);
const nested = (depth: number): unknown =>
  depth === 0 ? {} : { vmsd_name: "a", subsections: [nested(depth - 1)] };
test.each([
  ["of another length", { devices: [{ ...timer, fields: [{ size: 2 }] }] }, "footer of timer"],
  ["beyond the end", { devices: [{ ...timer, fields: [{ size: 2 ** 40 }] }] }, "before the end"],
  ["of another name", { devices: [{ ...timer, name: "rtc" }] }, "section of rtc"],
  ["of fewer devices", { devices: [] }, "end of the device state"],
  ["with a negative size", { devices: [{ ...timer, fields: [{ size: -1 }] }] }, "field's size"],
  ["nested without end", { devices: [{ ...timer, subsections: [nested(100)] }] }, "deep"],
  ["without devices", {}, "description of devices"],
  ["that is no JSON", "{", "JSON"],
])("a description %s is refused", (_what, description, words) => {
  expect(() => splitDevices(tail(description, one))).toThrow(words);
});
