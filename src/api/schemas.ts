/**
 * The published JSON Schemas, made from the zod schemas. `node src/api/schemas.ts` writes them to schemas/; a test
 * fails when they are stale.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { z } from "zod";

import { machineSpec } from "./machine.ts";
import { migrateRequest } from "./migration.ts";
import { openapi } from "./openapi.ts";
import { report } from "./report.ts";

export const SCHEMAS_FOLDER = join(import.meta.dirname, "../../schemas");

/** A document a person writes is described as written; one godwit writes, as it comes out. */
const published = [
  { file: "machine.schema.json", title: "godwit machine spec", schema: machineSpec, io: "input" },
  {
    file: "migrate-request.schema.json",
    title: "godwit migrate request",
    schema: migrateRequest,
    io: "input",
  },
  { file: "report.schema.json", title: "godwit migration report", schema: report, io: "output" },
] as const;

/** File name → text. */
export const schemaFiles = (): ReadonlyMap<string, string> =>
  new Map([
    ["openapi.json", `${JSON.stringify(openapi(), null, 2)}\n`],
    ...published.map(({ file, title, schema, io }) => [
      file,
      `${JSON.stringify({ title, ...z.toJSONSchema(schema, { io, target: "draft-2020-12" }) }, null, 2)}\n`,
    ]),
  ] as [string, string][]);

if (import.meta.main) {
  mkdirSync(SCHEMAS_FOLDER, { recursive: true });
  for (const [file, text] of schemaFiles()) writeFileSync(join(SCHEMAS_FOLDER, file), text);
}
