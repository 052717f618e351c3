/** The written manual is what the program says, and a man page is what man understands. */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { describe, expect, test } from "vitest";

import { entries, manual, writtenPages, type Entry } from "../scripts/manual.ts";
import { ROOT } from "./sources.ts";

const repair = "node scripts/manual.ts";
const files = await manual();
const all = (list: readonly Entry[]): Entry[] => list.flatMap((entry) => [entry, ...all(entry.parts)]);
const verbs = all(await entries());
const read = (path: string): string =>
  existsSync(join(ROOT, path)) ? readFileSync(join(ROOT, path), "utf8") : "";

test.each([...files])(`%s is current (else: ${repair})`, (path, text) => {
  expect(read(path)).toBe(text);
});

test(`no page is of a verb that is gone (else: ${repair})`, () => {
  expect(writtenPages().filter((path) => !files.has(path))).toEqual([]);
});

test("every option of every verb is in the documents, and says something", () => {
  const text = read("docs/cli.md");
  const options = verbs.flatMap((verb) => verb.options);
  expect(options.length).toBeGreaterThan(40);
  expect(options.filter(([flags]) => !text.includes(`\`${flags.replaceAll("|", String.raw`\|`)}\``))).toEqual(
    [],
  );
  expect(options.filter(([, meaning]) => meaning.trim() === "")).toEqual([]);
});

test("every verb says what it does and shows an example, itself or in one of its parts", () => {
  expect(verbs.filter((verb) => verb.summary === "").map((verb) => verb.name)).toEqual([]);
  const silent = (verb: Entry): boolean => verb.examples.length === 0 && verb.parts.every(silent);
  expect(verbs.filter((verb) => verb.name.split(" ").length === 2 && silent(verb))).toEqual([]);
});

test("options the README names are options there are", () => {
  const known = new Set(
    verbs.flatMap((verb) => verb.options.flatMap(([flags]) => flags.match(/--[\w-]+/g) ?? [])),
  );
  const named = [...read("README.md").matchAll(/`(--[\w-]+)/g)].flatMap(([, flag]) => flag ?? []);
  expect(named.length).toBeGreaterThan(10);
  expect(named.filter((flag) => !known.has(flag) && flag !== "--help")).toEqual([]);
});

describe.skipIf(spawnSync("groff", ["--version"]).status !== 0)("man pages", () => {
  const pages = [...files].filter(([path]) => path.endsWith(".1"));
  test.each(pages)("%s is set without a complaint", (_path, text) => {
    const { stderr, stdout } = spawnSync("groff", ["-man", "-Tascii", "-ww", "-P-cbou"], {
      input: text,
      encoding: "utf8",
    });
    expect(stderr).toBe("");
    expect(stdout).toContain("NAME");
  });
});
