import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { CodedError } from "../std/errors.ts";
import { type QmpMessage, QmpReader, parseLine } from "./parse.ts";

const name = fc.string({ unit: "binary", maxLength: 12 });
const maybeId = fc.option(fc.nat(), { nil: undefined });
/** Messages as the QMP specification draws them, beside what we should make of each. */
const message = fc.oneof(
  fc.record({ id: maybeId, value: fc.jsonValue() }).map(({ id, value }) => ({
    wire: { return: value, ...(id === undefined ? {} : { id }) },
    // JSON has no negative zero.
    want: { kind: "reply", id, value: JSON.parse(JSON.stringify(value)) as unknown } as QmpMessage,
  })),
  fc.record({ id: fc.nat(), qmpClass: name, desc: name }).map(({ id, qmpClass, desc }) => ({
    wire: { id, error: { class: qmpClass, desc } },
    want: { kind: "refusal", id, qmpClass, desc } as QmpMessage,
  })),
  fc.record({ event: name, n: fc.option(fc.nat(), { nil: undefined }) }).map(({ event, n }) => ({
    wire: { timestamp: { seconds: 1, microseconds: 1 }, event, ...(n === undefined ? {} : { data: { n } }) },
    want: { kind: "event", event, data: n === undefined ? {} : { n } } as QmpMessage,
  })),
);

const inPieces = (bytes: Uint8Array, sizes: readonly number[]): Uint8Array[] => {
  const pieces: Uint8Array[] = [];
  let from = 0;
  for (const size of sizes) {
    pieces.push(bytes.subarray(from, from + size));
    from += size;
  }
  return [...pieces, bytes.subarray(from)];
};

describe("QmpReader", () => {
  it("gives the same messages wherever the bytes are cut", () => {
    const sizes = fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 60 });
    const end = fc.constantFrom("\r\n", "\n", "\r\n\r\n");
    fc.assert(
      fc.property(fc.array(fc.tuple(message, end), { maxLength: 8 }), sizes, (messages, cuts) => {
        const bytes = Buffer.from(messages.map(([m, e]) => JSON.stringify(m.wire) + e).join(""));
        const reader = new QmpReader();
        const got = inPieces(bytes, cuts).flatMap((piece) => [...reader.push(piece)]);
        expect(got).toEqual(messages.map(([m]) => m.want));
      }),
    );
  });

  it("refuses anything else as QMP_PROTOCOL, whatever the bytes are", () => {
    const anyLine = fc.oneof(
      fc.uint8Array({ minLength: 1, maxLength: 64 }),
      fc.json().map((text) => new Uint8Array(Buffer.from(text))),
    );
    fc.assert(
      fc.property(anyLine, (bytes) => {
        try {
          for (const got of new QmpReader().push(Buffer.concat([bytes, Buffer.from("\n")]))) {
            expect(["greeting", "reply", "refusal", "event"]).toContain(got.kind);
          }
        } catch (error) {
          expect(error).toBeInstanceOf(CodedError);
          expect(error).toMatchObject({ code: "QMP_PROTOCOL" });
        }
      }),
    );
  });

  it("refuses a line that is too long before its end has come", () => {
    const reader = new QmpReader(16);
    expect([...reader.push(Buffer.from('{"return":1}'))]).toEqual([]);
    expect([...reader.push(Buffer.from("\r\n"))]).toEqual([{ kind: "reply", id: undefined, value: 1 }]);
    expect([...reader.push(Buffer.alloc(16, 0x20))]).toEqual([]);
    expect(() => [...reader.push(Buffer.alloc(1, 0x20))]).toThrow("longer than 16 bytes");
    expect(() => [...new QmpReader(16).push(Buffer.alloc(17, 0x20))]).toThrow("longer than 16 bytes");
  });
});

describe("parseLine", () => {
  it.each([
    ['{"error":{"class":"GenericError"},"id":1}', "error.desc"],
    ['{"error":"no","id":1}', "error is not an object"],
    ['{"event":7}', "event is not a string"],
    ['{"event":"STOP","data":[]}', "data is not an object"],
    ['{"QMP":{"version":{"qemu":{"major":7,"minor":-2,"micro":0}},"capabilities":[]}}', "minor"],
    ['{"QMP":{"version":{"qemu":{"major":7,"minor":2,"micro":0}},"capabilities":[1]}}', "capability"],
    ["{}", "neither"],
    ["null", "not an object"],
    ["[".repeat(100_000), "not JSON"],
  ])("refuses %.60s", (line, problem) => {
    expect(() => parseLine(line)).toThrow(problem);
  });
});
