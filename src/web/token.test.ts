import { expect, test } from "vitest";

import { looksLikeToken, tokenFromHash } from "./token.ts";

test("a token in the address is taken out of it, and the page asked for stays", () => {
  expect(tokenFromHash("#token=gwt_abcdef.123")).toEqual({ token: "gwt_abcdef.123", rest: "#/" });
  expect(tokenFromHash("#token=gwt_abcdef&to=/history")).toEqual({ token: "gwt_abcdef", rest: "#/history" });
});

test("an address without a token, or with something no agent issues, is left alone", () => {
  for (const hash of [
    "",
    "#/",
    "#/migrations/m-1",
    "#token=",
    "#token=short",
    "#token=%E0%A4%A",
    "#token=a%20b%20c%20d%20e",
  ]) {
    expect(tokenFromHash(hash)).toBeUndefined();
  }
});

test("blanks around a pasted token do no harm; blanks inside do", () => {
  expect(looksLikeToken("  gwt_abcdef.123\n")).toBe(true);
  expect(looksLikeToken("gwt_ab cdef.123")).toBe(false);
});
