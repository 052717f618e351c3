/** Style that can be checked is checked here: one idea per file, each introduced, none forgotten. */
import { expect, test } from "vitest";

import { mentions, sourceFiles, type SourceFile } from "./sources.ts";

const LINES_MAX = 400;

/** Files that are started, not imported. */
const ENTRY_POINTS = [
  "src/cli/main.ts",
  "src/api/schemas.ts",
  // Started by the page; the bundler finds it in index.html.
  "src/web/main.tsx",
  // What programs import.
  "src/index.ts",
  // Run inside the client's namespace.
  "src/lab/observe/ask-line.ts",
  "src/lab/observe/redis-check.ts",
  "src/lab/observe/redis-client.ts",
  "src/lab/observe/wait-echo.ts",
  // The relay pair; started by its tests until the agent does it.
  "src/relay/main.ts",
  "src/relay/start.ts",
  // The smallest guest, for fault tests.
  "src/lab/guest/ticker.ts",
];

const product = sourceFiles("src");
const all = [...product, ...sourceFiles("test"), ...sourceFiles("scripts")];
const named = (files: readonly SourceFile[]): string[] => files.map((file) => file.path);
/** Put together here, so that this file does not hold what it looks for. */
const OPEN_END = new RegExp(`\\b(${["TO", "DO"].join("")}|${["FIX", "ME"].join("")})\\b`);

test(`no file is longer than ${LINES_MAX} lines: it would hold a second idea`, () => {
  expect(named(all.filter((file) => file.text.split("\n").length > LINES_MAX))).toEqual([]);
});

test("no file is left open-ended", () => {
  expect(named(all.filter((file) => OPEN_END.test(file.text)))).toEqual([]);
});

test("every file begins by saying what it is; a test says it by its names", () => {
  expect(
    named(all.filter((file) => !file.isTest && !/^(#!.*\n)?(\/\*\*|\/\/) ?\S?/.test(file.text))),
  ).toEqual([]);
});

test("only the command line and scripts print", () => {
  const silent = product.filter((file) => !file.path.startsWith("src/cli/"));
  expect(named(silent.filter((file) => /\bconsole\.(log|error|warn|info)\(/.test(file.text)))).toEqual([]);
});

test("every file of the product is used by the product", () => {
  const used = new Set([
    ...ENTRY_POINTS,
    ...[...product.filter((file) => !file.isTest), ...sourceFiles("scripts")].flatMap(mentions),
  ]);
  expect(named(product.filter((file) => !file.isTest && !used.has(file.path)))).toEqual([]);
});

test("source and target, never another pair of words", () => {
  const other = new RegExp(`\\b(${["sr", "c"].join("")}|${["ds", "t"].join("")})(Host|Agent|Qemu|Vm)\\b`);
  expect(named(all.filter((file) => other.test(file.text)))).toEqual([]);
});
