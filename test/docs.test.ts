/** The documents agree with the program and with each other: generated pages, links, pictures, examples. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";

import { describe, expect, test } from "vitest";
import { parse } from "yaml";

import { API_DOC, apiDocument } from "../scripts/api-doc.ts";
import { sidebar } from "../site/sidebar.ts";
import { machineSpec } from "../src/api/machine.ts";
import { TECHNIQUES } from "../src/api/migration.ts";
import { ROOT } from "./sources.ts";

const PICTURE_BYTES_MAX = 250_000;
const DOCS = join(ROOT, "docs");
const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");
const pages = readdirSync(DOCS, { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".md"))
  .map((path) => join("docs", path));
const texts = [...pages, "README.md", "ARCHITECTURE.md", "CHANGELOG.md"];

const withoutCode = (text: string): string =>
  text.replaceAll(/^ *```[\s\S]*?^ *```/gm, "").replaceAll(/`[^`\n]*`/g, "");

/** Targets of links and pictures, but for those of other sites. */
const linksOf = (text: string): string[] =>
  [...withoutCode(text).matchAll(/\]\(([^)\s]+)\)/g)]
    .flatMap(([, target]) => target ?? [])
    .filter((target) => !/^[a-z]+:/.test(target));

/** As GitHub and the site name a heading. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replaceAll("`", "")
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
    .trim()
    .replaceAll(/\s/g, "-");

const anchorsOf = (text: string): string[] =>
  [...text.replaceAll(/^ *```[\s\S]*?^ *```/gm, "").matchAll(/^#{1,6} (.+)$/gm)].flatMap(([, heading]) =>
    heading === undefined ? [] : anchorOf(heading),
  );

/** Links of a page that lead nowhere. */
function brokenLinks(path: string, text: string): string[] {
  return linksOf(text).filter((target) => {
    const [file = "", anchor] = target.split("#");
    const there = file === "" ? path : normalize(join(dirname(path), file));
    if (!existsSync(join(ROOT, there))) return true;
    return anchor !== undefined && !anchorsOf(file === "" ? text : read(there)).includes(anchor);
  });
}

test("docs/api.md is current (else: node scripts/api-doc.ts)", () => {
  expect(readFileSync(API_DOC, "utf8")).toBe(apiDocument());
});

describe("links", () => {
  test.each(texts)("of %s lead somewhere", (path) => {
    expect(brokenLinks(path, read(path))).toEqual([]);
  });
  test("broken ones would be seen", () => {
    const text =
      "# One two\n[a](#one-two) [b](#three) [c](none.md) ![d](images/none.svg) [e](errors.md#retired)\n";
    expect(brokenLinks("docs/index.md", text)).toEqual(["#three", "none.md", "images/none.svg"]);
  });
});

test("every page is in the site's sidebar once, and every entry is a page", () => {
  const shown = sidebar.flatMap((section) => section.items.map((item) => `docs${item.link}.md`));
  const single = pages.filter((path) => path !== "docs/index.md" && !path.startsWith("docs/benchmarks/"));
  expect(shown.toSorted()).toEqual(single.toSorted());
});

test("the first page leads to every section", () => {
  const linked = new Set(linksOf(read("docs/index.md")));
  for (const { items } of sidebar) {
    expect(items.some(({ link }) => linked.has(`${link.slice(1)}.md`))).toBe(true);
  }
});

describe("how each technique works", () => {
  const text = read("docs/techniques.md");
  test.each(TECHNIQUES)("%s has a section with its picture and a command", (technique) => {
    const section =
      text.split(/^## /m).find((part) => anchorOf(part.split("\n")[0] ?? "") === technique) ?? "";
    expect(section).toContain(`](./images/${technique}.svg)`);
    expect(section).toContain("godwit migrate");
  });
});

describe("pictures", () => {
  const pictures = readdirSync(join(DOCS, "images"));
  const drawn = pictures.filter((name) => name.endsWith(".svg"));
  test.each(drawn)("%s says what it shows, and is drawn for light and dark", (name) => {
    const text = read(join("docs/images", name));
    expect(text).toMatch(/<title id="title">.+<\/title>\s*<desc id="desc">.+<\/desc>/);
    expect(text).toContain("prefers-color-scheme: dark");
    expect(text).not.toMatch(/<script|href=|<image/);
  });
  test("those of the screen are small, and say what they show where they stand", () => {
    const taken = pictures.filter((name) => name.endsWith(".png"));
    expect(taken.length + drawn.length).toBe(pictures.length);
    for (const name of taken) {
      expect([name, statSync(join(DOCS, "images", name)).size < PICTURE_BYTES_MAX]).toEqual([name, true]);
      const shown = pages.some((page) =>
        new RegExp(`!\\[[^\\]]{8,}\\]\\(images/${name}\\)`).test(read(page)),
      );
      expect([name, shown]).toEqual([name, true]);
    }
  });
  test("each is shown somewhere", () => {
    const shown = new Set(
      pages.flatMap((page) => linksOf(read(page)).map((link) => relative("docs", join(dirname(page), link)))),
    );
    expect(pictures.filter((name) => !shown.has(join("images", name)))).toEqual([]);
  });
});

test("the machine spec of the quick start is one the agent takes", () => {
  const [, spec] = /```yaml\n([\s\S]*?)```/.exec(read("docs/quick-start.md")) ?? [];
  expect(machineSpec.safeParse(parse(spec ?? "")).error).toBeUndefined();
});
