/** docs/errors.md and the catalogue are the same, both ways; and no retired code lives again. */
import { readFileSync } from "node:fs";

import { expect, test } from "vitest";

import { catalogueRows, documentedRows, ERRORS_DOC, retiredCodes, withRows } from "../scripts/errors-doc.ts";

const text = readFileSync(ERRORS_DOC, "utf8");
const repair = "node scripts/errors-doc.ts";

test(`every code is documented with its words (else: ${repair})`, () => {
  expect(documentedRows(text)).toEqual(catalogueRows());
});

test("a code is documented once", () => {
  const codes = documentedRows(text).map(({ code }) => code);
  expect(codes).toEqual([...new Set(codes)]);
});

test("a retired code is not in the catalogue", () => {
  const alive = new Set(catalogueRows().map(({ code }) => code));
  expect(retiredCodes(text).filter((code) => alive.has(code))).toEqual([]);
});

test("the list of retired codes is read", () => {
  expect(retiredCodes("- `A`\n## Retired\n\n- `OLD_ONE` was for …\n- `OLD_TWO`\n")).toEqual([
    "OLD_ONE",
    "OLD_TWO",
  ]);
});

test("writing the rows keeps the text around them, and is stable", () => {
  const again = withRows(text, catalogueRows());
  expect(again).toBe(text);
  expect(withRows(text, catalogueRows().slice(1))).toContain("## Retired");
});
