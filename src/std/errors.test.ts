/** The catalogue's promises: every refusal is a sentence with a next step, and anything thrown becomes one. */
import { expect, test } from "vitest";

import { catalogue, CodedError, ExitCode, isErrorCode, toCodedError, type ErrorCode } from "./errors.ts";

const codes = Object.keys(catalogue) as ErrorCode[];

test.each(codes)("%s says what happened and what to do next, also when details are missing", (code) => {
  const refused = new CodedError(code);
  expect(refused.message).not.toBe("");
  expect(refused.next).not.toBe("");
  expect(`${refused.message}${refused.next}`).not.toContain("undefined");
  expect(refused.status).toBeGreaterThanOrEqual(400);
  expect(Object.values(ExitCode)).toContain(refused.exit);
  expect(refused.exit).not.toBe(ExitCode.done);
});

test("details appear in the sentence and in the next step", () => {
  const refused = new CodedError("VM_BUSY", { vm: "db-1", migration: "m-1" });
  expect(refused.message).toBe("VM db-1 is already migrating (m-1).");
  expect(refused.next).toContain("godwit cancel m-1");
});

test("a refusal may bring its own next step", () => {
  expect(new CodedError("USAGE", { problem: "No.", next: "Yes." }).next).toBe("Yes.");
});

test("only codes of the catalogue are codes", () => {
  expect(isErrorCode("VM_BUSY")).toBe(true);
  for (const text of ["", "vm_busy", "toString", "__proto__"]) expect(isErrorCode(text)).toBe(false);
});

test("a refusal passes through unchanged", () => {
  const refused = new CodedError("SAME_HOST", { host: "a" });
  expect(toCodedError(refused)).toBe(refused);
});

test.each(["ENOSPC", "EDQUOT"])("%s is a full disk, naming the file", (code) => {
  const refused = toCodedError(Object.assign(new Error("no space"), { code, path: "/var/x" }));
  expect(refused.code).toBe("DISK_FULL");
  expect(refused.message).toContain("/var/x");
});

test("anything else is a fault inside, with its cause kept", () => {
  const cause = new TypeError("x is not a function");
  const refused = toCodedError(cause);
  expect([refused.code, refused.cause]).toEqual(["INTERNAL", cause]);
  expect(refused.message).toContain("x is not a function");
  expect(toCodedError("just text").message).toContain("just text");
});
