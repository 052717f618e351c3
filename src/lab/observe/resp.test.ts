import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { type Reply, ReplyReader, encodeCommand } from "./resp.ts";

const flat = fc.oneof(
  fc.stringMatching(/^[ -~]*$/).map((text): Reply => ({ kind: "text", text })),
  fc.stringMatching(/^[ -~]*$/).map((text): Reply => ({ kind: "error", text })),
  fc.constant<Reply>({ kind: "none" }),
);
const reply = fc.oneof(
  flat,
  fc.array(flat).map((items): Reply => ({ kind: "list", items })),
);

function serialise(value: Reply): string {
  switch (value.kind) {
    case "text":
      return `$${Buffer.byteLength(value.text)}\r\n${value.text}\r\n`;
    case "error":
      return `-${value.text}\r\n`;
    case "none":
      return "$-1\r\n";
    case "list":
      return `*${value.items.length}\r\n${value.items.map(serialise).join("")}`;
    default:
      throw new Error("unknown reply");
  }
}

describe("Redis's replies", () => {
  it("are the same in whatever pieces they come", () => {
    fc.assert(
      fc.property(fc.array(reply), fc.array(fc.integer({ min: 1, max: 20 })), (replies, cuts) => {
        const bytes = Buffer.from(replies.map(serialise).join(""));
        const reader = new ReplyReader();
        const seen: Reply[] = [];
        let at = 0;
        for (const cut of cuts) {
          seen.push(...reader.push(bytes.subarray(at, at + cut)));
          at += cut;
        }
        seen.push(...reader.push(bytes.subarray(at)));
        expect(seen).toEqual(replies);
      }),
    );
  });

  it.each([
    "hello\r\n",
    "$x\r\n",
    "$-2\r\n",
    "*99999999\r\n",
    "$3\r\nabcde",
    "*1\r\n*0\r\n",
    "$999999999\r\n",
  ])("refuse %j", (text) => {
    expect(() => new ReplyReader().push(Buffer.from(text))).toThrow(RangeError);
  });

  it("are asked for with lengths in bytes, not characters", () => {
    expect(encodeCommand(["SET", "é", ""])).toBe("*3\r\n$3\r\nSET\r\n$2\r\né\r\n$0\r\n\r\n");
  });
});
