/**
 * docs/api.md from the routes of src/api: `node scripts/api-doc.ts`. What every path takes and answers is read from the
 * schemas the agent itself parses with; what stands before the paths is written by hand and kept. test/docs.test.ts compares.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { z } from "zod";

import { localRoutes, type Route } from "../src/api/routes.ts";

export const API_DOC = join(import.meta.dirname, "../docs/api.md");

const PATHS = "## Paths\n";

interface Shape {
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly default?: unknown;
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Shape>>;
  readonly required?: readonly string[];
  readonly items?: Shape;
  readonly anyOf?: readonly Shape[];
  readonly oneOf?: readonly Shape[];
}

const shapeOf = (schema: z.ZodType, io: "input" | "output"): Shape =>
  z.toJSONSchema(schema, { io, unrepresentable: "any", reused: "inline" }) as Shape;

/** One word or a few for a shape; depth is in the published schemas. */
function kind(shape: Shape): string {
  const either = shape.anyOf ?? shape.oneOf;
  if (either !== undefined) return [...new Set(either.map(kind))].join(" or ");
  if (shape.const !== undefined) return JSON.stringify(shape.const);
  if (shape.enum !== undefined) return shape.enum.map((one) => JSON.stringify(one)).join(" or ");
  if (shape.type === "array") return `array of ${shape.items === undefined ? "anything" : kind(shape.items)}`;
  return typeof shape.type === "string" ? shape.type : (shape.type?.join(" or ") ?? "anything");
}

function fields(title: string, shape: Shape): string[] {
  const rows = Object.entries(shape.properties ?? {}).map(([name, one]) => {
    const optional = shape.required?.includes(name) === true ? "" : "optional";
    const otherwise =
      one.default === undefined || typeof one.default === "object"
        ? optional
        : `default ${JSON.stringify(one.default)}`;
    return `| \`${name}\` | ${kind(one).replaceAll("|", String.raw`\|`)} | ${otherwise} |`;
  });
  return rows.length === 0 ? [] : [`| ${title} | type | |`, "| --- | --- | --- |", ...rows, ""];
}

function answers(shape: Shape): string {
  const object = shape.type === "array" ? (shape.items ?? {}) : shape;
  const names = Object.keys(object.properties ?? {}).map((name) => `\`${name}\``);
  if (names.length === 0) return kind(shape);
  return `${shape.type === "array" ? "an array of " : ""}${names.join(", ")}`;
}

function route(key: string, one: Route): string[] {
  const given = [
    ...(one.params === undefined ? [] : ["params"]),
    ...(one.query === undefined ? [] : ["query"]),
    ...(one.body === undefined ? [] : ["body"]),
  ];
  const call = `${key}(${given.length === 0 ? "" : `{ ${given.join(", ")} }`})`;
  return [
    `### ${one.method} ${one.path}`,
    "",
    `${one.summary}. ${one.right === "identity" ? "Needs a valid token" : `Needs the right \`${one.right}\``}.`,
    "",
    `Client: \`${call}\``,
    "",
    ...(one.query === undefined ? [] : fields("query", shapeOf(one.query, "input"))),
    ...(one.body === undefined ? [] : fields("body", shapeOf(one.body, "input"))),
    `Answers ${one.status}: ${answers(shapeOf(one.answer, "output"))}.`,
    "",
  ];
}

const introduction = (): string => readFileSync(API_DOC, "utf8").split(PATHS, 1)[0] ?? "";

export const apiDocument = (): string =>
  `${[introduction() + PATHS, ...Object.entries<Route>(localRoutes).flatMap(([key, one]) => route(key, one))].join("\n").trimEnd()}\n`;

if (import.meta.main) writeFileSync(API_DOC, apiDocument());
