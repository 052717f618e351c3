/** The published schemas say what the code checks. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { expect, test } from "vitest";

import { schemaFiles, SCHEMAS_FOLDER } from "./schemas.ts";

test.each([...schemaFiles()])("schemas/%s is up to date (else: node src/api/schemas.ts)", (file, text) => {
  expect(readFileSync(join(SCHEMAS_FOLDER, file), "utf8")).toBe(text);
});

test("nothing else is published", () => {
  expect(readdirSync(SCHEMAS_FOLDER).sort()).toEqual([...schemaFiles().keys()].sort());
});
